import { createPublicKey, hash, type KeyObject, sign, verify } from 'node:crypto'
import { type Digest, fromBase64, toBase64 } from './merkle.ts'

/** The tree at one size. */
export interface Head {
  readonly size: number
  readonly root: Digest
}

/**
 * What one signature vouches for: a C2SP tlog-checkpoint whose extension lines are `time <ms>` and, for sizes on the way
 * from the checkpoint before, `mark <size> <root>`: they narrow down which records were changed.
 */
export interface Checkpoint extends Head {
  readonly origin: string
  readonly time: number
  readonly marks: readonly Head[]
}

/** A signed checkpoint as it stands in a file. */
export interface Note {
  /** Everything, signature lines included. */
  readonly text: string
  /** What is signed. */
  readonly body: string
  readonly signatures: readonly string[]
  readonly checkpoint: Checkpoint
}

/** Name in the first line of a chain's checkpoints, and of the key that signs them: one chain's proof cannot pass for another's. */
export const originOf = (chain: string): string => `postern/${chain}`

const ed25519 = 1

const rawPublicKey = (key: KeyObject): Buffer => Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url')

/** C2SP signed-note: SHA-256(name, LF, 0x01, public key), first four bytes. */
export const keyId = (name: string, publicKey: KeyObject): Buffer =>
  hash('sha256', Buffer.concat([Buffer.from(`${name}\n`), Buffer.of(ed25519), rawPublicKey(publicKey)]), 'buffer').subarray(0, 4)

const bodyOf = (c: Checkpoint): string =>
  `${[c.origin, c.size, toBase64(c.root), `time ${c.time}`, ...c.marks.map(m => `mark ${m.size} ${toBase64(m.root)}`)].join('\n')}\n`

/** Signs checkpoints of one chain. The note ends with an empty line, so that notes can follow one another in a file. */
export const noteSigner = (privateKey: KeyObject): ((checkpoint: Checkpoint) => string) => {
  const publicKey = createPublicKey(privateKey)
  return checkpoint => {
    const body = bodyOf(checkpoint)
    const signature = Buffer.concat([keyId(checkpoint.origin, publicKey), sign(null, Buffer.from(body), privateKey)])
    return `${body}\n— ${checkpoint.origin} ${signature.toString('base64')}\n\n`
  }
}

/** True when a signature line by this key, under this name, fits. As in Go's `note.Open`, the first line that names the key decides. */
export const noteIsSigned = (note: Note, name: string, publicKey: KeyObject): boolean => {
  const id = keyId(name, publicKey)
  for (const line of note.signatures) {
    const found = /^— (\S+) ([A-Za-z0-9+/]+={0,2})$/.exec(line)
    const bytes = Buffer.from(found?.[2] ?? '', 'base64')
    if (found?.[1] === name && bytes.subarray(0, 4).equals(id)) return verify(null, Buffer.from(note.body), publicKey, bytes.subarray(4))
  }
  return false
}

const digits = /^(0|[1-9]\d{0,15})$/
const digest = /^[A-Za-z0-9+/]{43}=$/

const headOf = (size: string | undefined, root: string | undefined): Head | null =>
  size !== undefined && root !== undefined && digits.test(size) && digest.test(root) ? { size: Number(size), root: fromBase64(root) } : null

const checkpointOf = (lines: readonly string[]): Checkpoint | null => {
  const [origin, size, root, time, ...rest] = lines
  const head = headOf(size, root)
  const at = /^time (\d{1,16})$/.exec(time ?? '')
  if (!origin || !head || !at) return null
  const marks: Head[] = []
  for (const line of rest) {
    const [word, markSize, markRoot] = line.split(' ')
    if (word !== 'mark') continue
    const mark = headOf(markSize, markRoot)
    if (!mark) return null
    marks.push(mark)
  }
  return { ...head, origin, time: Number(at[1]), marks }
}

export interface NoteFile {
  readonly notes: readonly Note[]
  /** Number, from 1, of the first note that cannot be read, or null. */
  readonly broken: number | null
  /** The file ends inside a note, as it does after a power cut. */
  readonly torn: boolean
}

/** Reads a file of notes. Stops at the first one that is not well formed. */
export const readNotes = (text: string): NoteFile => {
  const notes: Note[] = []
  const lines = text.split('\n')
  let at = 0
  const block = (): string[] | null => {
    const end = lines.indexOf('', at)
    if (end < 0 || end === lines.length - 1) return null
    const found = lines.slice(at, end)
    at = end + 1
    return found
  }
  while (at < lines.length - 1 || lines[at] !== '') {
    const body = block()
    const signatures = body === null ? null : block()
    if (body === null || signatures === null) return { notes, broken: null, torn: true }
    const checkpoint = checkpointOf(body)
    if (checkpoint === null || signatures.length === 0 || !signatures.every(line => line.startsWith('— ')))
      return { notes, broken: notes.length + 1, torn: false }
    const signed = `${body.join('\n')}\n`
    notes.push({ text: `${signed}\n${signatures.join('\n')}\n\n`, body: signed, signatures, checkpoint })
  }
  return { notes, broken: null, torn: false }
}
