/**
 * Offset in a file of the `index`th UTF-16 unit of a scalar's value, for messages about text inside text. `start` is where
 * the scalar begins as it is written: plain, in quotes, or a literal block. Where that cannot be told, the scalar's own start.
 */
export const offsetWithin = (file: string, start: number, index: number): number => {
  const style = file[start]
  if (style === "'") return inSingle(file, start + 1, index)
  if (style === '"') return inDouble(file, start + 1, index)
  return style === '|' ? (inBlock(file, start, index) ?? start) : start + index
}

const inSingle = (file: string, from: number, index: number): number => {
  let at = from
  for (let i = 0; i < index; i++) at += file[at] === "'" ? 2 : 1
  return at
}

/** Length of an escape, by the letter after its backslash; all others are of two characters. */
const escapes: ReadonlyMap<string, number> = new Map([
  ['x', 4],
  ['u', 6],
  ['U', 10],
])

const inDouble = (file: string, from: number, index: number): number => {
  let at = from
  for (let i = 0; i < index; i++) {
    const written = file[at] === '\\' ? (escapes.get(file[at + 1] ?? '') ?? 2) : 1
    // `\U0001F600` is one escape of two units.
    if (written === 10 && Number.parseInt(file.slice(at + 2, at + 10), 16) > 0xffff) i++
    at += written
  }
  return at
}

/** Null: the header says how deep the text is indented, relative to something that only the parser knows. */
const inBlock = (file: string, start: number, index: number): number | null => {
  const header = lineEnd(file, start)
  if (/^\|\S*\d/.test(file.slice(start, header))) return null
  let left = index
  let indent: number | null = null
  for (let at = header + 1; at < file.length; ) {
    const end = lineEnd(file, at)
    const line = file.slice(at, end).replace(/\r$/, '')
    // The first line that is not blank sets the depth; blank ones before it are empty lines of the value.
    if (indent === null && line.trim() !== '') indent = line.search(/\S/)
    const cut = Math.min(indent ?? line.length, line.length)
    if (left <= line.length - cut) return at + cut + left
    left -= line.length - cut + 1
    at = end + 1
  }
  return null
}

const lineEnd = (file: string, from: number): number => {
  const end = file.indexOf('\n', from)
  return end < 0 ? file.length : end
}
