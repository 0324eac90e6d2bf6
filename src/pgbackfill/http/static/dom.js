// Makes elements. Text goes in as text nodes and attributes by name: nothing that a job says is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Redraws only what has changed, so that a selection, an open list or the focus of the keyboard survives.
export function redraw(container, data, draw) {
  const shown = JSON.stringify(data);
  if (container.shown === shown) return;
  container.shown = shown;
  const focused = container.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  container.replaceChildren(...[draw(data)].flat().filter((child) => child !== null && child !== undefined));
  if (focused) container.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}
