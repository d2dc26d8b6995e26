import type { EventEntry, ExchangeEntry } from '../model/audit.ts'
import { schema } from './codes.ts'
import type { FactSpeller } from './facts.ts'
import { quoted } from './json.ts'

/** Characters of the longest values kept; what is cut is named in `truncated`. */
const longest = { path: 4096, 'user-agent': 1024, other: 1024, detail: 512 } as const
const mostAgents = 8
const mostDetails = 32

/** No line is longer: every character may become six, in at most 32 values. A chunk of the spool must hold one. */
export const longestLine = 256 * 1024

/** JSON has no NaN or Infinity. */
const whole = (value: number | null): string => (value === null || !Number.isFinite(value) ? 'null' : `${value}`)

/** Milliseconds with at most two decimals, never below 0, from integers: printing an arbitrary double costs more than the rest of its group. */
const millis = (value: number | null): string => {
  if (value === null || !Number.isFinite(value)) return 'null'
  const hundredths = Math.max(0, Math.round(value * 100))
  const rest = hundredths % 100
  const ms = Math.trunc(hundredths / 100)
  return rest === 0 ? `${ms}` : `${ms}.${rest < 10 ? '0' : ''}${rest}`
}

/** `2026-07-28T10:11:12.345Z`; the part up to the second is kept for the next record. */
const isoClock = (): ((ms: number) => string) => {
  let second = Number.NaN
  let text = ''
  return ms => {
    if (!(Math.abs(ms) < 8.64e15)) return '1970-01-01T00:00:00.000Z'
    const at = Math.floor(ms / 1000)
    if (at !== second) {
      second = at
      text = new Date(at * 1000).toISOString().slice(0, -4)
    }
    const rest = Math.floor(ms - at * 1000)
    return `${text}${rest < 10 ? '00' : rest < 100 ? '0' : ''}${rest}Z`
  }
}

export interface LineMaker {
  /** One line with its LF, ASCII only: characters are bytes. */
  exchange(seq: number, entry: ExchangeEntry): string
  event(seq: number, entry: EventEntry): string
}

/** `facts` spells what was decided on. */
export const lineMaker = (chain: string, facts: FactSpeller): LineMaker => {
  const head = `{"v":"${schema}","chain":${quoted(chain)},"seq":`
  const iso = isoClock()
  let cut: string[] = []

  const clip = (name: string, text: string, most: number): string => {
    if (text.length <= most) return text
    cut.push(name)
    return text.slice(0, most)
  }
  /** Escapes make a character six: what counts is what is written. */
  const bounded = (name: string, text: string, most: number): string => {
    const line = quoted(clip(name, text, most))
    return line.length <= most + 2 ? line : quoted(clip(name, text, Math.floor(most / 6)))
  }
  const value = (name: string, text: string | null): string => {
    if (text === null) return 'null'
    return bounded(name, text, longest.other)
  }
  const agents = (names: readonly string[]): string => {
    if (names.length === 0) return '[]'
    if (names.length > mostAgents) cut.push('agents')
    return `[${names
      .slice(0, mostAgents)
      .map(name => value('agents', name))
      .join(',')}]`
  }
  const shadow = (would: ExchangeEntry['shadow' | 'observed']): string =>
    would === null ? 'null' : `{"effect":"${would.effect}","rule":${value('shadow', would.rule)}}`
  const decidedOn = (decided: ExchangeEntry['decided']): string => {
    if (decided === null) return 'null'
    const { text, cut: incomplete } = facts(decided)
    if (incomplete) cut.push('facts')
    return text
  }
  const tail = (): string => {
    if (cut.length === 0) return '}\n'
    const names = cut
    cut = []
    return `,"truncated":[${[...new Set(names)].map(quoted).join(',')}]}\n`
  }

  const exchange = (seq: number, e: ExchangeEntry): string =>
    `${head}${seq},"time":"${iso(e.time)}","code":${value('code', e.code)},"kind":"exchange","tenant":${value('tenant', e.tenant)}` +
    `,"caller":{"issuer":${value('issuer', e.issuer)},"subject":${value('subject', e.subject)},"agents":${agents(e.agents)}}` +
    `,"gateway":{"proof":[${e.proof.map(quoted).join()}],"request-id":${value('gateway-request-id', e.gatewayRequestId)},"peer":${value('peer', e.peer)}}` +
    `,"request":{"id":${value('request-id', e.requestId)},"method":${value('method', e.method)},"host":${value('host', e.host)},"route":${value('route', e.route)}` +
    `,"path":${bounded('path', e.path, longest.path)},"client-ip":${value('client-ip', e.clientIp)}` +
    `,"user-agent":${bounded('user-agent', e.userAgent, longest['user-agent'])},"bytes":${whole(e.requestBytes)}}` +
    `,"decision":{"effect":"${e.effect}","rule":${value('rule', e.rule)},"reason":${value('reason', e.reason)},"role":${value('role', e.role)},"policy-digest":${value('policy-digest', e.policyDigest)},"platform-digest":${value('platform-digest', e.decided?.basis.platformDigest ?? null)},"in-doubt":${e.inDoubt},"shadow":${shadow(e.shadow)},"observed":${shadow(e.observed)}}` +
    `,"credential":${e.credentialRole === null ? 'null' : `{"role":${value('role', e.credentialRole)},"generation":${whole(e.credentialGeneration)}}`}` +
    `,"upstream":${e.upstream === null ? 'null' : `{"name":${value('upstream', e.upstream)},"status":${whole(e.upstreamStatus)},"ms":${millis(e.upstreamMs)}}`}` +
    `,"response":{"status":${whole(e.status)},"bytes":${whole(e.responseBytes)},"ms":${millis(e.ms)},"hidden":${whole(e.hidden)},"aborted":${e.aborted}},"facts":${decidedOn(e.decided)}${tail()}`

  const event = (seq: number, e: EventEntry): string => {
    const entries = Object.entries(e.detail)
    if (entries.length > mostDetails) cut.push('detail')
    const detail = entries.slice(0, mostDetails).map(([key, v]) => {
      const name = quoted(clip('detail', key, 64))
      if (typeof v === 'string') return `${name}:${quoted(clip(key.slice(0, 64), v, longest.detail))}`
      return `${name}:${typeof v === 'number' ? whole(v) : String(v)}`
    })
    return `${head}${seq},"time":"${iso(e.time)}","code":${value('code', e.code)},"kind":${value('kind', e.kind)},"tenant":${value('tenant', e.tenant)},"detail":{${detail.join(',')}}${tail()}`
  }
  return { exchange, event }
}
