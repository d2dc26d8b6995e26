const unsafe = /[^\x20\x21\x23-\x5b\x5d-\x7e]/

/**
 * A JSON string in printable ASCII. Everything else is escaped: a reader's terminal must not obey a caller's ESC, C1 or
 * bidirectional control, U+2028 must not end a line, and a lone surrogate must not become another character.
 */
export const quoted = (text: string): string =>
  unsafe.test(text)
    ? JSON.stringify(text).replace(/[^\x20-\x7e]/g, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
    : `"${text}"`
