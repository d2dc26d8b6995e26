import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { parseDuration } from '../src/config/values.ts'
import type { Recorded } from '../src/model/recorded.ts'
import { parseInstant } from '../src/policy/language/moment.ts'
import { readLines } from '../src/record/read-lines.ts'
import { readRecord } from '../src/record/recorded.ts'
import type { Io } from './io.ts'

/** What was met while reading records. */
export interface Met {
  /** Lines. */
  lines: number
  /** Exchanges on which policy decided, since the moment asked for. */
  decided: number
  /** Decided before that moment. */
  older: number
  /** Exchanges that were refused before policy was asked. */
  undecided: number
  /** Refusals that were only counted, of which nothing can be said. */
  folded: number
  /** Records that are not exchanges. */
  others: number
  /** Lines that are no record of this format. */
  malformed: number
}

/** Something that was given as a place of records and is none. */
export class NoRecords extends Error {
  override readonly name = 'NoRecords'
}

const progressEvery = 5000
/** Lines between two looks at the clock. */
const lookEvery = 10_000

/**
 * Reads every decided exchange of files, chain folders, or folders of chains, in order of name; holds one block of a file at a time. Rejects
 * with NoRecords. Long work tells of itself on `err`. `take` returns false to end.
 */
export const eachRecorded = async (
  places: readonly string[],
  since: number | null,
  take: (recorded: Recorded) => boolean,
  io: Io,
): Promise<Met> => {
  const met: Met = { lines: 0, decided: 0, older: 0, undecided: 0, folded: 0, others: 0, malformed: 0 }
  let told = performance.now()
  let goesOn = true
  const line = (text: string): boolean => {
    met.lines++
    if (met.lines % lookEvery === 0 && performance.now() - told > progressEvery) {
      told = performance.now()
      io.err(`${met.lines} records read\n`)
    }
    const read = readRecord(text)
    if (read === null) met.malformed++
    else if (!('recorded' in read)) {
      met.folded += read.count
      if (read.kind === 'undecided') met.undecided++
      else met.others++
    } else if (since !== null && read.recorded.time < since) met.older++
    else {
      met.decided++
      goesOn = take(read.recorded)
    }
    return goesOn
  }
  for (const file of (await Promise.all(places.map(filesOf))).flat()) {
    const { rest } = await readLines(file, (bytes, start, end) => line(bytes.toString('utf8', start, end)))
    // A process that still writes, or a power cut, leaves a part of a line.
    if (rest > 0) met.malformed++
    if (!goesOn) break
  }
  return met
}

const recordsIn = (names: readonly string[]): readonly string[] => names.filter(name => name.endsWith('.jsonl')).toSorted()

const filesOf = async (place: string): Promise<readonly string[]> => {
  const found = await stat(place).catch(() => null)
  if (found === null) throw new NoRecords(`${place} cannot be read; name a file of records, or the folder of one chain or of all.`)
  if (!found.isDirectory()) return [place]
  const here = recordsIn(await readdir(place))
  if (here.length > 0) return here.map(name => join(place, name))
  const chains = (await readdir(place, { withFileTypes: true })).filter(entry => entry.isDirectory()).map(entry => entry.name)
  const files = await Promise.all(
    chains.toSorted().map(async chain => recordsIn(await readdir(join(place, chain))).map(name => join(place, chain, name))),
  )
  if (files.flat().length === 0) throw new NoRecords(`${place} holds no records (.jsonl), nor does a folder in it.`)
  return files.flat()
}

/** The moment of `--since`: itself, or so long before `now`. Null for anything else. */
export const parseSince = (text: string, now: number): number | null => {
  const ago = parseDuration(text)
  if (ago !== null) return now - ago
  const moment = parseInstant(text)
  return typeof moment === 'number' ? moment : null
}

/** What stands in no result, so that nobody takes it for judged. */
export const leftOut = ({ older, undecided, folded, malformed }: Met): string => {
  const parts = [
    [older, 'older'],
    [undecided, 'refused before policy was asked'],
    [folded, 'refusals only counted'],
    [malformed, 'malformed'],
  ] as const
  return parts.flatMap(([n, what]) => (n > 0 ? `${n} ${what}` : [])).join(', ')
}
