import type { PeerCertificate } from './edge/peer-certificate.ts'
import type { Clock, Log } from './model/deps.ts'

const dayMs = 86_400_000
/** Days before the end at which the log says so, the nearest last. */
const alarms = [60, 30, 7] as const
const mostCertificates = 8
/** A certificate that is not shown any longer has been replaced. */
const forgottenAfter = dayMs
const lookEvery = 60_000

interface Seen {
  readonly notAfter: number
  at: number
  /** The nearest alarm that was given. */
  alarm: number
}

/** The certificates with which the gateway proved itself: those that API Gateway makes end after a year, and nobody renews them. */
export class GatewayCertificates {
  readonly #clock: Clock
  readonly #log: Log
  readonly #byPin = new Map<string, Seen>()
  #last: PeerCertificate | null = null
  #lookAgain = 0

  constructor(clock: Clock, log: Log) {
    this.#clock = clock
    this.#log = log
  }

  /** A request was proved by it. Cheap for the same connection. */
  proved(certificate: PeerCertificate): void {
    const now = this.#clock.now()
    if (certificate === this.#last && now < this.#lookAgain) return
    this.#last = certificate
    this.#lookAgain = now + lookEvery
    const { pin, notAfter } = certificate
    const before = this.#byPin.get(pin)
    const seen = before?.notAfter === notAfter ? before : { notAfter, at: now, alarm: Number.POSITIVE_INFINITY }
    seen.at = now
    this.#byPin.delete(pin)
    this.#byPin.set(pin, seen)
    for (const [other, { at }] of this.#byPin)
      if (this.#byPin.size > mostCertificates || now - at > forgottenAfter) this.#byPin.delete(other)
    this.#warn(pin, seen, now)
  }

  #warn(pin: string, seen: Seen, now: number): void {
    const due = alarms.findLast(days => seen.notAfter - now <= days * dayMs)
    if (due === undefined || due >= seen.alarm) return
    seen.alarm = due
    const fields = { pin, ends: new Date(seen.notAfter).toISOString(), days: Math.max(0, Math.floor((seen.notAfter - now) / dayMs)) }
    this.#log[due === 7 ? 'error' : 'warn'](
      fields,
      'THE CERTIFICATE OF THE GATEWAY ENDS SOON: then every request is refused. Make another, and pin both',
    )
  }

  /** Those shown in the last day, or the last one shown. `notAfter` in milliseconds since the epoch. */
  list(): readonly { readonly pin: string; readonly notAfter: number }[] {
    return [...this.#byPin].map(([pin, { notAfter }]) => ({ pin, notAfter }))
  }
}
