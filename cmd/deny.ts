import { parseArgs } from 'node:util'
import { askControl } from '../src/control.ts'
import type { DenyAnswer } from '../src/deny.ts'
import { safeJson } from '../src/policy/tools/words.ts'
import { type Entry, kinds } from '../src/revocation/entry.ts'
import { exit, type Io } from './io.ts'
import { plain } from './policies.ts'
import { processOptions, stateFolder } from './state.ts'

export const help = `
postern deny --subject S [--issuer I] --for 1h --why TEXT
postern deny --jti J [--issuer I] --for 1h --why TEXT
postern deny --sid S [--issuer I] --for 1h --why TEXT
postern deny --tenant T --for 1h --why TEXT
postern deny list
postern deny remove ID --why TEXT

Refuses callers of the running process although their tokens are good, from this moment, open streams included: a person or workload (sub; also
as somebody's agent), one token (jti), one session (sid), or a whole tenant. Each denial has an end and a reason, goes into the audit, and
outlives a restart. With revocation.share: cassandra every sidecar of the group follows within revocation.poll-every.
  --issuer I     only tokens of this issuer (default: of any)
  --for TIME     1s to 366d
  --why TEXT     the reason, for the audit
  --config FILE  configuration of the process (default proxy.config.yaml)
  --state DIR    the state folder itself
  --json         the answer as JSON
Exit: 0 done, 3 in force in this process, but not written to its file, or not shared yet (it is tried again), 64 not done.
`

const options = {
  subject: { type: 'string' },
  jti: { type: 'string' },
  sid: { type: 'string' },
  tenant: { type: 'string' },
  issuer: { type: 'string' },
  for: { type: 'string' },
  why: { type: 'string' },
  ...processOptions,
} as const

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true })
  const asked = bodyOf(positionals, values)
  if (typeof asked === 'string') {
    io.err(`postern deny: ${asked}\nTry: postern deny --help\n`)
    return exit.usage
  }
  const state = await stateFolder(values, io)
  if (state === null) return exit.usage
  const answer = (await askControl(state, 'deny', asked, 60_000)) as DenyAnswer | { readonly error: string }
  if ('error' in answer) throw new Error(answer.error)
  if (values.json) io.out(`${safeJson(answer)}\n`)
  else print(answer, io)
  if ('refused' in answer) return exit.usage
  return 'entry' in answer && (answer.notKept !== null || answer.notShared !== null) ? exit.partly : exit.done
}

type Values = { readonly [Key in 'subject' | 'jti' | 'sid' | 'tenant' | 'issuer' | 'for' | 'why']?: string | undefined }

/** What the process is asked, or what is wrong with the command line. */
const bodyOf = ([word, id, ...more]: readonly string[], values: Values): object | string => {
  const named = kinds.filter(kind => values[kind] !== undefined)
  if (word === 'list' && id === undefined && named.length === 0) return { act: 'list' }
  if (values.why === undefined && word !== 'list') return 'write --why TEXT: the reason goes into the audit.'
  if (word === 'remove' && id !== undefined && more.length === 0 && named.length === 0) return { act: 'remove', id, why: values.why }
  const [kind] = named
  if (word !== undefined || kind === undefined || named.length > 1)
    return 'write one of --subject, --jti, --sid and --tenant; or list; or remove and an ID.'
  if (values.for === undefined) return 'write --for, such as --for 1h: a denial has an end.'
  return { act: 'add', kind, value: values[kind], issuer: values.issuer, for: values.for, why: values.why }
}

const print = (answer: DenyAnswer, io: Io): void => {
  if ('refused' in answer) io.err(`${plain(`postern deny: ${answer.refused}`)}\n`)
  else if ('entries' in answer) io.out(answer.entries.length === 0 ? 'nobody is denied\n' : answer.entries.map(line).join(''))
  else {
    const { entry, removed, notKept, notShared } = answer
    io.out(removed ? plain(`removed: ${entry.id}`).concat('\n') : line(entry))
    if (notKept !== null) io.err(`${plain(`not written: a restart would forget it (${notKept})`)}\n`)
    if (notShared !== null) io.err(`${plain(`not shared yet, tried again: ${notShared}`)}\n`)
  }
}

const line = ({ id, kind, value, issuer, issuedUntil, withoutSession, until, why }: Entry): string => {
  const whose = issuer === null ? '' : ` of ${issuer}`
  const which = issuedUntil === null ? '' : `, tokens issued until ${new Date(issuedUntil).toISOString()}`
  const only = withoutSession ? ', those that name no session' : ''
  return `${plain(`${id}  ${kind} ${value}${whose}${which}${only}, until ${new Date(until).toISOString()}: ${why}`)}\n`
}
