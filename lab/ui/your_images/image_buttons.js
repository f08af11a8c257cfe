// Buttons inside a part that is replaced as a whole: each says by data-* what it does, and the part tells the page.

element.addEventListener("click", event => {
  const button = event.target.closest("button[data-action]");
  if (button) trigger("action", {...button.dataset});
});
