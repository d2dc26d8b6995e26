import { open } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { addressKey } from '../src/config/address.ts'
import { fieldRole } from '../src/edge/names.ts'
import { readUnverified, type Unverified } from '../src/identity/unverified.ts'
import { Refusal } from '../src/model/problem.ts'
import { momentOf, typedRequest, Unanswerable } from '../src/policy/tools/ask.ts'
import type { FiledBench } from '../src/policy/tools/change.ts'
import { explainFacts, filedBench } from '../src/policy/tools/explain.ts'
import { explanationLines } from '../src/policy/tools/explain-text.ts'
import { type ClaimFault, claimFaults, disagreement, type TypedRequest, tokenFacts } from '../src/policy/tools/token.ts'
import { momentText, safeJson } from '../src/policy/tools/words.ts'
import { exit, type Io } from './io.ts'
import { loadPolicies, type Policies, plain } from './policies.ts'
import { tenantOf } from './tenant.ts'

export const help = `
postern try --token-file FILE METHOD /PATH [--ip ADDRESS] [--header 'NAME: VALUE']... [--at INSTANT] [--tenant TENANT] [--policies DIR] [--json]

What postern explain says, for a real token. The token is only read: its signature is NOT verified, so this proves nothing about who sent it.
Says which claims are not as the policy declares them, and if the token has expired. The token itself is never printed.
  --token-file FILE   the token, bare or as an Authorization field; - reads standard input. At most 64 KiB
  --ip ADDRESS        the client address (default: unknown)
  --header FIELD      a field of the request; may be repeated. host: chooses the host (default: the first host that the tenant recognises)
  --at INSTANT        the clock (default: now): 2026-11-23T10:00:00Z
  --tenant TENANT     explain this tenant's policy (default: the one that recognises the token)
  --policies DIR      the folder (default policies)
  --json              one JSON object: { verified: false, untimely, claims, explanation }
Exit: 0 explained, whatever was decided; 1 Postern refuses such a token whoever signed it, or the policy has errors; 64 usage, unreadable files.
`

const options = {
  'token-file': { type: 'string' },
  ip: { type: 'string' },
  header: { type: 'string', multiple: true, default: [] as string[] },
  at: { type: 'string' },
  tenant: { type: 'string' },
  policies: { type: 'string', default: 'policies' },
  json: { type: 'boolean', default: false },
} as const

/** What cannot be answered, for people. */
class Stop extends Error {}

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options })
  try {
    if (positionals.some(word => word.startsWith('eyJ')))
      throw new Stop('a token stands on the command line, where every user of this machine can read it. Use --token-file.')
    const file = values['token-file']
    if (file === undefined || positionals.length !== 2) throw new Stop('write --token-file FILE, a method and a path.')
    const { request, host } = requestOf(positionals.join(' '), values.header, values.ip ?? null)
    const now = values.at === undefined ? Date.now() : answered(momentOf(values.at))
    const token = readUnverified(bare(await readBounded(file)), now)
    if (token instanceof Refusal) {
      const { status, reason } = token.row
      io.out(`${plain(`Postern refuses such a token, whoever signed it: ${status} ${reason} (${token.code}): ${token.detail}`)}\n`)
      return exit.findings
    }
    const policies = await loadPolicies('try', { dir: values.policies, config: undefined, names: [] }, io)
    if (typeof policies === 'number') return policies
    const bench = benchFor(policies, values.tenant, one => disagreement(one, tokenFacts(one, token.identity, request, host, now)), io)
    if (typeof bench === 'number') return bench
    const facts = tokenFacts(bench, token.identity, request, host, now)
    const faults = claimFaults(bench, facts)
    const explanation = explainFacts(bench, facts)
    const untimely = untimelyText(token)
    if (values.json) io.out(`${safeJson({ verified: false, untimely, claims: faults, explanation })}\n`)
    else io.out(`${[...tokenLines(untimely, faults), ...explanationLines(explanation)].map(plain).join('\n')}\n`)
    return exit.done
  } catch (stop) {
    if (!(stop instanceof Stop)) throw stop
    io.err(`postern try: ${plain(stop.message)}\nTry: postern try --help\n`)
    return exit.usage
  }
}

const answered = <T>(answer: T | Unanswerable): T => {
  if (answer instanceof Unanswerable) throw new Stop(answer.messages.join(' '))
  return answer
}

const requestOf = (call: string, fields: readonly string[], ip: string | null): { request: TypedRequest; host: string | null } => {
  const { method, target } = answered(typedRequest(call))
  if (ip !== null && addressKey(ip) === null) throw new Stop(`--ip ${JSON.stringify(ip)} is not an address; write for example 10.1.2.3.`)
  const headers: string[] = []
  let host: string | null = null
  for (const field of fields) {
    const [, name = '', value = ''] = /^([^\s:]+):[ \t]*(.*?)[ \t]*$/s.exec(field) ?? []
    const lower = name.toLowerCase()
    const role = lower === '' ? null : fieldRole(lower)
    if (lower === '') throw new Stop("a --header is not a field; write 'name: value'.")
    if (role === 'host') host = value.toLowerCase().replace(/\.?(:\d+)?$/, '')
    else if (role === null || role === 'user-agent') headers.push(lower, value)
    else throw new Stop(`${lower} never reaches a policy: the edge consumes or removes it. Leave it out.`)
  }
  return { request: { method, target, headers, clientIp: ip }, host }
}

const mostBytes = 64 * 1024

/** The file, or standard input; more than the bound is no token. */
const readBounded = async (file: string): Promise<string> => {
  try {
    const from = file === '-' ? process.stdin : (await open(file, 'r')).createReadStream({ end: mostBytes })
    const chunks: Buffer[] = []
    let length = 0
    for await (const chunk of from) {
      const bytes = Buffer.from(chunk)
      length += bytes.length
      if (length > mostBytes)
        throw new Stop(`${file === '-' ? 'standard input' : file} has more than ${mostBytes} bytes; that is no token.`)
      chunks.push(bytes)
    }
    return Buffer.concat(chunks).toString('utf8')
  } catch (fault) {
    if (fault instanceof Stop || !(fault instanceof Error && 'code' in fault)) throw fault
    throw new Stop(`${file} cannot be read (${String(fault.code)}).`)
  }
}

/** As curl's header files hold it, as a header's value, or the token alone. */
const bare = (text: string): string =>
  text
    .trim()
    .replace(/^authorization:\s*/i, '')
    .replace(/^bearer +/i, '')

/** The tenant asked for; else the one that recognises the token; else the nearest, so that it can be seen what differs. */
const benchFor = (policies: Policies, name: string | undefined, differing: (bench: FiledBench) => number, io: Io): FiledBench | number => {
  const { composition, files } = policies
  const entries = [...(composition?.entries.values() ?? [])]
  const benches = entries.flatMap(entry => (composition && filedBench(entry.onDisk, composition.platform, files)) ?? [])
  const ranked = benches.map(bench => ({ tenant: bench.policy.tenant, off: differing(bench) })).sort((a, b) => a.off - b.off)
  const agreeing = ranked.filter(one => one.off === 0).map(one => one.tenant)
  if (name === undefined && agreeing.length > 1)
    throw new Stop(`the token fits ${agreeing.slice(0, 5).join(', ')}; say which with --tenant, or the host with --header 'host: ...'.`)
  const chosen = name ?? ranked[0]?.tenant
  if (chosen === undefined) throw new Stop('no tenant of this folder can be explained; postern check says why.')
  if (name === undefined && agreeing.length === 0 && benches.length < entries.length)
    io.err('postern try: no policy without errors recognises the token, and others could not be compared; postern check says which.\n')
  const tenant = tenantOf('try', policies, chosen, io)
  return typeof tenant === 'number' ? tenant : tenant.bench
}

const untimelyText = ({ untimely, identity }: Unverified): string | null => {
  if (untimely === null) return null
  const { status, reason } = untimely.row
  const when = untimely.code === 'PST3007' ? `it expired at ${momentText(identity.expiresAt)}` : `it is not valid yet (${untimely.detail})`
  return `${when}, so Postern answers ${status} ${reason} (${untimely.code}) and no policy is asked; explained as if it were valid now`
}

const tokenLines = (untimely: string | null, faults: readonly ClaimFault[]): readonly string[] => [
  'SIGNATURE NOT VERIFIED: anybody can have written this token. Neither were algorithm, lifetime and the audiences of the configuration checked.',
  ...(untimely === null ? [] : [`TOKEN NOT VALID NOW: ${untimely}.`]),
  ...faults.map(
    ({ claim, declared, seen, place }) => `claim ${claim}: declared ${declared}, but ${seen}  ${place.file}:${place.line}:${place.column}`,
  ),
  '',
]
