// What a reader would stumble over, and axe does not find.

/**
 * Words of the page that a line's end cuts in two, and those that run out of their table's cell. Left out is what is not read
 * as words: what has digits in it, or is styled to be broken anywhere (`word-break: break-all`), to end in an ellipsis, or to be
 * heard only.
 * @param {import("playwright-core").Page} page
 * @returns {Promise<string[]>}
 */
export function cutWords(page) {
  return page.evaluate(() => {
    const unread = (element) => {
      if (!element) return false;
      const { wordBreak, textOverflow, clipPath } = getComputedStyle(element);
      return wordBreak === "break-all" || textOverflow === "ellipsis" || clipPath !== "none" || unread(element.parentElement);
    };
    const found = new Set();
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const { data, parentElement } = texts.currentNode;
      if (parentElement.closest("pre, textarea, script, style") || unread(parentElement)) continue;
      const cell = parentElement.closest("td, th")?.getBoundingClientRect();
      for (const { 0: word, index } of data.matchAll(/(?<![\p{L}\d])\p{Script=Latin}+(?![\p{L}\d])/gu)) {
        const range = document.createRange();
        range.setStart(texts.currentNode, index);
        range.setEnd(texts.currentNode, index + word.length);
        const lines = [...range.getClientRects()].filter(({ width }) => width > 0);
        const where = `"${word}" of "${data.trim().slice(0, 80)}"`;
        if (new Set(lines.map(({ top }) => Math.round(top))).size > 1) found.add(`${where} is cut`);
        if (cell && lines.some(({ right }) => right > cell.right + 1)) found.add(`${where} leaves its cell`);
      }
    }
    return [...found];
  });
}
