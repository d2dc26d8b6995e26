import { type AddressKey, addressKey, addressSet, addressText, type Range } from '../../config/address.ts'
import { formatDuration } from '../../config/values.ts'
import type { Facts } from '../../model/decision.ts'
import type { Login } from '../language/login.ts'
import { isWithin, type TimeWindow } from '../language/time.ts'
import type { Expectation } from '../language/when.ts'
import { withHeader, withIdentity, withOrigin, withQuery } from './edit.ts'
import type { Remedy } from './remedy.ts'
import { anyOf, boundsText, momentText, quoted, rangesText, windowText } from './words.ts'

/** Documentation addresses and their neighbours: one of them is outside of any range that is not the whole network. */
const elsewhere = ['192.0.2.1', '198.51.100.1', '203.0.113.1', '10.0.0.1', '172.16.0.1', '8.8.8.8', '2001:db8::1', '2a00::1']

export const addressRemedy = (ranges: readonly Range[], inside: boolean): Remedy => {
  const includes = addressSet(ranges)
  const low: AddressKey | undefined = ranges[0]?.low
  const outside = elsewhere.find(text => {
    const key = addressKey(text)
    return key !== null && !includes(key)
  })
  const address = inside ? low && addressText(low) : outside
  return {
    text: `come from ${inside ? '' : 'a known address outside '}${rangesText(ranges)}`,
    apply: address === undefined ? null : facts => withOrigin(facts, { clientIp: address }),
  }
}

/** `holds`: what must become of the condition. */
export const headerRemedy = (name: string, wanted: Expectation, holds: boolean): Remedy => {
  if (wanted.kind === 'absent' ? holds : !holds) return { text: `send no header ${name}`, apply: facts => withHeader(facts, name, []) }
  const [value, text] = wanted.kind === 'one-of' ? [wanted.values[0] ?? '', `${name}: ${anyOf(wanted.values)}`] : ['x', name]
  return { text: `send one header ${text}`, apply: facts => withHeader(facts, name, [value]) }
}

export const queryRemedy = (name: string, wanted: Expectation, holds: boolean): Remedy => {
  const parameter = `the query parameter ${quoted(name)}`
  if (wanted.kind === 'absent' ? holds : !holds) return { text: `leave out ${parameter}`, apply: facts => withQuery(facts, name, []) }
  const give = (text: string, value: string): Remedy => ({
    text: `give ${parameter} ${text}`,
    apply: facts => withQuery(facts, name, [value]),
  })
  if (wanted.kind === 'one-of') return give(`as ${anyOf(wanted.values)}`, wanted.values[0] ?? '')
  if (wanted.kind === 'range') return give(`in ${boundsText(wanted)}`, String(Number.isFinite(wanted.min) ? wanted.min : wanted.max))
  return give('once', '')
}

const minute = 60_000
const day = 86_400_000

/** The next moment at which the window holds, or no longer does: each minute of a week, then each half hour of two years. */
const nextMoment = (window: TimeWindow, holds: boolean, { now, zones }: Facts): number | null => {
  const fits = (ms: number): boolean => {
    const local = zones.at(window.zone, ms)
    return local !== null && isWithin(window, local) === holds
  }
  const start = Math.ceil(now / minute) * minute
  for (let ms = start; ms < start + 7 * day; ms += minute) if (fits(ms)) return ms
  for (let ms = start + 7 * day; ms < start + 730 * day; ms += 30 * minute) if (fits(ms)) return ms
  return null
}

export const timeRemedy = (window: TimeWindow, holds: boolean, facts: Facts): Remedy => {
  const moment = nextMoment(window, holds, facts)
  const next = moment === null ? '' : `, next at ${momentText(moment)}`
  return { text: `ask ${holds ? '' : 'not '}${windowText(window)}${next}`, apply: moment === null ? null : at(moment) }
}

const at =
  (now: number) =>
  (facts: Facts): Facts => ({ ...facts, now })

export const fromRemedy = (from: number, holds: boolean): Remedy => ({
  text: `ask ${holds ? 'at or after' : 'before'} ${momentText(from)}`,
  apply: at(holds ? from : from - 1),
})

export const untilRemedy = (until: number, holds: boolean): Remedy => ({
  text: `ask ${holds ? 'before' : 'at or after'} ${momentText(until)}`,
  apply: at(holds ? until - 1 : until),
})

/** Better sign-ins, by the key of `needs-login` that asks for them. */
export const loginRemedy = ({ acr, amr, within }: Login, key: string | undefined): Remedy => {
  const claim = (name: string, value: (facts: Facts) => unknown): Remedy['apply'] => {
    return facts => withIdentity(facts, { claims: { ...facts.identity.claims, [name]: value(facts) } })
  }
  if (key === 'acr') return { text: `sign in with acr ${anyOf(acr ?? [])}`, apply: claim('acr', () => acr?.[0]) }
  if (key === 'amr') return { text: `sign in with amr ${anyOf(amr ?? [])}`, apply: claim('amr', () => amr?.slice(0, 1)) }
  return {
    text: `sign in again, not over ${formatDuration(within ?? 0)} before the request`,
    apply: claim('auth_time', ({ now }) => now / 1000),
  }
}
