// A click on a pane of the panel beside this part chooses a spot, in shares of the image's width and height.

element.closest(".answers").addEventListener("click", event => {
  const pane = event.target.closest(".stack");
  if (!pane) return;
  const box = pane.getBoundingClientRect();
  trigger("spot", {x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height});
});
