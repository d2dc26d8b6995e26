import { parseArgs } from 'node:util'
import { type Group, type Kind, Replay, type Replayed } from '../src/policy/tools/replay.ts'
import { factHash } from '../src/record/facts.ts'
import { KeyFault, readHashKey } from '../src/record/keys.ts'
import { readRevisionOrFolder } from './against.ts'
import { exit, type Io } from './io.ts'
import { plain, policyOptions } from './policies.ts'
import { eachRecorded, leftOut, type Met, NoRecords, parseSince } from './records.ts'

export const help = `
postern replay RECORDS... --against WHICH [--policies DIR] [--since 90d] [--hash-key-file FILE]... [--fail-on WHAT]... [--json]

Decides recorded requests again from the facts in their records, with the proxy's own engine and other policies, and says what would differ:
newly allowed, newly denied, obligations changed (role, hide, limit), the same, or cannot tell. What a record does not tell is never guessed:
a request is judged only if every value that a missing fact may have leads to the same. Shadow rules decide nothing, and what
observe mode let pass counts as the refusal that it was.
  RECORDS...             files of records, the folder of a chain, or the folder of all chains (audit.dir)
  --against WHICH        the policies to decide by: a Git revision, or a folder written with "./" or "/"
  --policies DIR         the folder within a revision (default policies)
  --since 90d            only requests of the last 90 days; or since a moment: 2026-11-23T10:00:00Z
  --hash-key-file FILE   a key of audit.hash-key-files: hashed facts can then be compared with what the policies name
  --fail-on WHAT         gains, losses or obligations: exit 1 if there are any
  --json                 one JSON object: { read, counts, tenants, groups, ungrouped }
Exit: 0 all told, 1 something to fail on, 2 some could not be told or nothing was replayed, 64 usage, files that cannot be read or policies with errors.
`

const failures: Readonly<Record<string, Kind>> = { gains: 'newly-allowed', losses: 'newly-denied', obligations: 'obligations-changed' }

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      against: { type: 'string' },
      ...policyOptions,
      since: { type: 'string' },
      'hash-key-file': { type: 'string', multiple: true, default: [] },
      'fail-on': { type: 'string', multiple: true, default: [] },
    },
  })
  const refuse = (message: string): number => {
    io.err(`postern replay: ${plain(message)}\n`)
    return exit.usage
  }
  const since = values.since === undefined ? null : parseSince(values.since, Date.now())
  if (values.since !== undefined && since === null)
    return refuse('--since is a duration such as 90d, or a moment such as 2026-11-23T10:00:00Z.')
  const failOn = values['fail-on'].map(word => failures[word])
  if (failOn.includes(undefined)) return refuse(`--fail-on is ${Object.keys(failures).join(', ')}.`)
  if (values.against === undefined || positionals.length === 0) return refuse('say which records, and --against which policies.')
  const against = await readRevisionOrFolder('replay', values.against, values.policies, io)
  if (typeof against === 'number') return against
  try {
    const keys = await Promise.all(values['hash-key-file'].map(readHashKey))
    const replay = new Replay(against, keys.map(factHash))
    const read = await eachRecorded(
      positionals,
      since,
      recorded => {
        replay.add(recorded)
        return true
      },
      io,
    )
    const result = replay.result()
    io.out(values.json ? `${JSON.stringify({ read, ...result })}\n` : report(result, read))
    if (failOn.some(kind => kind !== undefined && result.counts[kind] > 0)) return exit.findings
    return result.counts['cannot-tell'] > 0 || read.decided === 0 ? exit.cannotTell : exit.done
  } catch (fault) {
    if (fault instanceof KeyFault || fault instanceof NoRecords) return refuse(fault.message)
    throw fault
  }
}

const headings: Readonly<Record<Kind, string>> = {
  'newly-allowed': 'NEWLY ALLOWED',
  'newly-denied': 'NEWLY DENIED',
  'obligations-changed': 'OBLIGATIONS CHANGED',
  'cannot-tell': 'CANNOT TELL',
  same: 'SAME',
}

/** Groups that are shown; --json has all. */
const mostShown = 50

const report = ({ counts, tenants, groups, ungrouped }: Replayed, met: Met): string => {
  const lines = tenants.flatMap(({ tenant, ...own }) => [
    `${tenant}: ${spelled(own)}`,
    ...groups.slice(0, mostShown).flatMap(group => (group.tenant === tenant ? describe(group) : [])),
  ])
  const hidden = Math.max(0, groups.length - mostShown)
  if (hidden + ungrouped > 0) lines.push(`... and ${hidden} more groups (--json has them), ${ungrouped} requests beyond those`)
  const without = leftOut(met)
  lines.push(`${met.decided} requests decided again: ${spelled(counts)}${without === '' ? '' : `; not replayed: ${without}`}`)
  return `${lines.map(plain).join('\n')}\n`
}

const spelled = (counts: Replayed['counts']): string =>
  `${counts.same} same, ${counts['newly-allowed']} newly allowed, ${counts['newly-denied']} newly denied, ${counts['obligations-changed']} obligations changed, ${counts['cannot-tell']} cannot tell`

const describe = ({ kind, count, was, is, delta, callers, route, because, example }: Group): string[] => [
  `  ${headings[kind]} ${count}: ${callers}, ${route}`,
  `      ${delta || `${was} -> ${is}`}, ${kind === 'cannot-tell' ? `not known: ${because}` : `by ${because}`}, such as ${example.id} at ${example.time}`,
]
