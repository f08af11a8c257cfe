// A click on a pane of the panel beside this part names a spot, in shares of the image's width and height.

element.closest(".answers").addEventListener("click", event => {
  const stack = event.target.closest(".stack");
  if (!stack) return;
  const box = stack.getBoundingClientRect();
  trigger("spotted", {x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height});
});
