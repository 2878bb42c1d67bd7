// Elements of the page, with their kinds: one that is not there, or is of another kind, is a mistake of ours.

/**
 * The first element under `root` that the selector fits. Throws where it is not a `kind`.
 * @template {Element} [T=HTMLElement]
 * @param {ParentNode} root @param {string} selector @param {new () => T} [kind] HTMLElement without it
 * @returns {T}
 */
export function one(root, selector, kind) {
  const found = root.querySelector(selector);
  const expected = kind ?? HTMLElement;
  if (!(found instanceof expected)) throw new TypeError(`${selector} is not an ${expected.name}`);
  return /** @type {T} */ (found);
}

/**
 * The element of that id. Throws where it is not a `kind`.
 * @template {Element} [T=HTMLElement]
 * @param {string} id @param {new () => T} [kind] HTMLElement without it
 */
export const byId = (id, kind) => one(document, `#${id}`, kind);
