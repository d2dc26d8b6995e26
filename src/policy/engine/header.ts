/** A header value without the blanks around it. Blanks of HTTP only: `trim` would also remove what a backend keeps. */
export const withoutBlanks = (value: string): string => {
  let from = 0
  let to = value.length
  while (from < to && isBlank(value.charCodeAt(from))) from++
  while (to > from && isBlank(value.charCodeAt(to - 1))) to--
  return from === 0 && to === value.length ? value : value.slice(from, to)
}

const isBlank = (c: number): boolean => c === 0x20 || c === 0x09
