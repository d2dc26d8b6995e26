import { type FileHandle, open } from 'node:fs/promises'

/** Longer than any record: a file without line ends must not fill the memory. */
const longest = 1024 * 1024

/** Sees `bytes[start, end)`, a line without its LF; the byte before it may be borrowed. False ends the reading. */
export type OnLine = (bytes: Buffer, start: number, end: number) => boolean

/** Reads a file line by line. `rest` is what stands behind the last LF; a line that is too long counts as such a rest. */
export const readLines = async (path: string, onLine: OnLine): Promise<{ readonly rest: number }> => {
  await using file = await open(path)
  return await each(file, onLine)
}

const each = async (file: FileHandle, onLine: OnLine): Promise<{ rest: number }> => {
  const bytes = Buffer.alloc(longest + 1)
  let end = 1
  for (;;) {
    const { bytesRead } = await file.read(bytes, end, bytes.length - end)
    if (bytesRead === 0) return { rest: end - 1 }
    const before = end
    end += bytesRead
    let start = 1
    for (let lf = bytes.indexOf(0x0a, before); lf >= 0 && lf < end; lf = bytes.indexOf(0x0a, start)) {
      if (!onLine(bytes, start, lf)) return { rest: 0 }
      start = lf + 1
    }
    bytes.copyWithin(1, start, end)
    end = end - start + 1
    if (end === bytes.length) return { rest: end - 1 }
  }
}
