import type { KeyObject } from 'node:crypto'
import { type Head, type Note, type NoteFile, noteIsSigned, originOf, readNotes } from './checkpoint.ts'
import type { AuditFinding } from './finding.ts'

/** What the tree must be at some size, and who says so. */
export interface Expectation extends Head {
  readonly source: string
  /** Vouched for by a signature that was checked. */
  readonly signed: boolean
}

export interface Notes {
  readonly findings: readonly AuditFinding[]
  readonly expectations: readonly Expectation[]
  /** Checkpoints that stand beside the records and not in the second place. */
  readonly undelivered: number
  /** When the newest of them was signed, milliseconds since the epoch. */
  readonly lastTime: number | null
}

interface Place {
  readonly name: string
  readonly file: NoteFile
}

const iso = (ms: number): string => new Date(ms).toISOString()

/** Judges the checkpoints of one chain by their form, their signatures and each other. Texts are null where there is no file. */
export const judgeNotes = (chain: string, own: string | null, second: string | null, key: KeyObject | null): Notes => {
  const places: Place[] = [
    { name: 'second place', file: readNotes(second ?? '') },
    { name: 'own folder', file: readNotes(own ?? '') },
  ]
  const findings: AuditFinding[] = []
  const expectations: Expectation[] = []
  const finding = (kind: AuditFinding['kind'], message: string): void => {
    findings.push({ kind, chain, first: null, last: null, message })
  }
  for (const { name, file } of places) {
    if (file.broken !== null) finding('checkpoint-edited', `checkpoint ${file.broken} in the ${name} is not well formed`)
    let size = 0
    for (const [i, note] of file.notes.entries()) {
      const which = `checkpoint ${i + 1} in the ${name} (${note.checkpoint.size} records, ${iso(note.checkpoint.time)})`
      const wrong = faultOf(note, chain, key, size)
      if (wrong !== null) {
        finding(wrong.kind, `${which} ${wrong.message}`)
        continue
      }
      size = note.checkpoint.size
      expectations.push(...expected(note, which, key !== null))
    }
  }
  const [there, here] = [places[0]?.file.notes ?? [], places[1]?.file.notes ?? []]
  const edited = compare(there, here)
  if (edited !== null) finding('checkpoint-edited', edited)
  const known = new Set(there.map(note => note.text))
  const times = [...there, ...here].map(note => note.checkpoint.time)
  return {
    findings,
    expectations: expectations.toSorted((a, b) => a.size - b.size),
    undelivered: here.filter(note => !known.has(note.text)).length,
    lastTime: times.length > 0 ? Math.max(...times) : null,
  }
}

const faultOf = (
  { checkpoint, ...note }: Note,
  chain: string,
  key: KeyObject | null,
  before: number,
): { kind: AuditFinding['kind']; message: string } | null => {
  const origin = originOf(chain)
  if (checkpoint.origin !== origin) return { kind: 'checkpoint-edited', message: `belongs to ${checkpoint.origin}, not to this chain` }
  if (key !== null && !noteIsSigned({ checkpoint, ...note }, origin, key))
    return { kind: 'checkpoint-signature', message: 'is not signed by this key: it was edited, or the key is another one' }
  return checkpoint.size < before ? { kind: 'checkpoint-edited', message: 'covers fewer records than the one before it' } : null
}

const expected = (note: Note, which: string, signed: boolean): Expectation[] => {
  const { size, root, marks } = note.checkpoint
  return [...marks.map(mark => ({ ...mark, source: `a mark of ${which}`, signed })), { size, root, source: which, signed }]
}

/** Postern writes a checkpoint beside the records first: whatever only the second place has was removed or edited here. */
const compare = (there: readonly Note[], here: readonly Note[]): string | null => {
  const texts = new Set(here.map(note => note.text))
  const strange = there.find(note => !texts.has(note.text))
  if (strange === undefined) return null
  const { size, time } = strange.checkpoint
  const differs = here.some(note => note.checkpoint.size === size && note.checkpoint.time === time)
  const what = `the checkpoint of ${size} records, ${iso(time)}, that the second place has`
  return differs ? `${what} stands differently in the own folder` : `${what} is missing in the own folder`
}
