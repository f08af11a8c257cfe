// Thumbnails of the images that a row names, with their marked spots; each is made when it is first needed.

const wrongImages = (node, pick) => {
  const buttons = [];  // by number of the image
  node.replaceChildren();
  return {follow({images, thumbs, data}, numbers, threshold) {  // threshold: the lowest level that is marked
    for (const [number, button] of buttons.entries()) if (button && !numbers.has(number)) button.hidden = true;
    for (const number of numbers) {
      const {label} = images[number], text = `${label}, ${short(data.scores[number])} σ`;
      if (!buttons[number]) {
        buttons[number] = thumbButton(label, number, pick);
        node.insertBefore(buttons[number], buttons.find((other, i) => i > number && other) ?? null);
      }
      const button = buttons[number], [image, canvas] = button.firstChild.children;
      if (thumbs[number] && image.getAttribute("src") !== thumbs[number]) image.src = thumbs[number];
      if (data.cells?.[number]) paintCells(canvas, data.cells[number], threshold);
      set(button, "title", text);
      set(button, "aria-label", `${text}: show it`);
      button.hidden = false;
    }
  }};
};
const thumbButton = (label, number, pick) => {
  const spots = make("canvas", {"aria-hidden": "true", width: 1, height: 1});
  return make("button", {type: "button", class: "mini", onclick: () => pick(number)},
    make("span", {}, make("img", {alt: label, onload: fitSpots}), spots));
};
const fitSpots = event => {  // over the part of the image that the square shows
  const {naturalWidth: width, naturalHeight: height} = event.target, {style} = event.target.nextSibling;
  style.width = `${100 * Math.max(1, width / height)}%`;
  style.height = `${100 * Math.max(1, height / width)}%`;
};
