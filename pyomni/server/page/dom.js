// Small help with the page's elements.

export const $ = (id) => document.getElementById(id);

/** Turn a button on or off; off, it keeps its place in the focus order, and says so. */
export function enable(button, on) {
  button.setAttribute("aria-disabled", String(!on));
}

/** Call back for clicks on a button that is on. */
export function onPress(button, callback) {
  button.addEventListener("click", () => {
    if (button.getAttribute("aria-disabled") !== "true") callback();
  });
}

export function option(value, text) {
  const element = document.createElement("option");
  element.value = value;
  element.textContent = text;
  return element;
}

export const capital = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");
