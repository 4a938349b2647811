// Make untrusted text printable, by the rule of `base/text/printable.py`.

const UNSEEN = /(?![\t\n])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0]/gu;

/** Escape characters that end lines, change the order of text or are invisible; line feeds and tabs
 * stay. */
export const printable = (text) => text.replace(UNSEEN, escaped);

/** The same as one line. */
export const oneLine = (text) => printable(text).replaceAll("\n", "\\x0a");

function escaped(character) {
  const code = character.codePointAt(0);
  const digits = code.toString(16);
  if (code < 0x100) return `\\x${digits.padStart(2, "0")}`;
  return code < 0x10000 ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`;
}
