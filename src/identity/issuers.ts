import type { KeyObject } from 'node:crypto'
import type { Deps } from '../model/deps.ts'
import type { Bounds } from './bounds.ts'
import { Introspector } from './introspector.ts'
import { KeyRing, type Keys } from './keyring.ts'
import { OwnKeys } from './own-keys.ts'
import type { IssuerSettings } from './settings.ts'

export interface Issuer {
  readonly settings: IssuerSettings
  readonly ring: Keys
  readonly introspector: Introspector | null
  /** False once it was replaced or removed. */
  live: boolean
}

export interface IssuerStatus {
  readonly issuer: string
  /** Usable keys held. */
  readonly keys: number
  /** Since the last good fetch; null where there was none. */
  readonly ageSeconds: number | null
  readonly lastError: string | null
  /** Null where nothing is introspected, or it works. */
  readonly introspectionError: string | null
}

/** The configured issuers. An issuer with the same settings stays the same object; one with the same key origin keeps its keys. */
export class Issuers {
  readonly #deps: Deps
  readonly #bounds: Bounds
  readonly #own = new OwnKeys()
  #byName: ReadonlyMap<string, Issuer> = new Map()
  #aws: Issuer | null = null

  constructor(deps: Deps, bounds: Bounds) {
    this.#deps = deps
    this.#bounds = bounds
  }

  /** `own`: the private keys with which Postern signs for the callers that it names itself. */
  configure(list: readonly IssuerSettings[], own: readonly KeyObject[]): void {
    this.#own.replace(own)
    const old = [...this.#byName.values()]
    const rings = new Map(old.map(({ settings, ring }) => [originOf(settings), ring]))
    const kept = new Set<Keys>()
    const next = new Map<string, Issuer>()
    for (const settings of list) {
      const before = this.#byName.get(settings.issuer)
      const issuer = before?.settings.digest === settings.digest ? before : this.#open(settings, rings)
      kept.add(issuer.ring)
      next.set(settings.issuer, issuer)
    }
    for (const issuer of old) {
      if (next.get(issuer.settings.issuer) === issuer) continue
      issuer.live = false
      if (!kept.has(issuer.ring)) issuer.ring.close()
    }
    this.#byName = next
    this.#aws = [...next.values()].find(({ settings }) => settings.aws !== null) ?? null
  }

  /** Callers of AWS, whom Postern names itself. */
  get aws(): Issuer | null {
    return this.#aws
  }

  get(issuer: string): Issuer | undefined {
    return this.#byName.get(issuer)
  }

  /** Whose an opaque token is that was sent to this host: the configuration names one or none. To ask two would show one's token to the other. */
  ofOpaque(host: string): Issuer | null {
    for (const issuer of this.#byName.values()) {
      const { introspection } = issuer.settings
      if (introspection !== null && (introspection.hosts === null || introspection.hosts.includes(host))) return issuer
    }
    return null
  }

  status(): readonly IssuerStatus[] {
    return [...this.#byName.values()].map(({ settings, ring, introspector }) => ({
      issuer: settings.issuer,
      ...ring.status(),
      introspectionError: introspector?.lastError ?? null,
    }))
  }

  /** A reload that only adds an audience must not forget keys: the provider may be down just now. */
  #open(settings: IssuerSettings, rings: Map<string, Keys>): Issuer {
    if (settings.aws !== null) return { settings, ring: this.#own, introspector: null, live: true }
    const origin = originOf(settings)
    const ring = rings.get(origin) ?? new KeyRing(this.#deps, settings, this.#bounds)
    rings.set(origin, ring)
    const { introspection } = settings
    const introspector = introspection === null ? null : new Introspector(this.#deps, { ...settings, introspection }, this.#bounds)
    return { settings, ring, introspector, live: true }
  }
}

/** Whose keys, or where they are: issuers that agree in it share one ring. */
const originOf = ({ issuer, jwksUri, ca, proxy, allowPrivateAddresses, allowHttpLoopback }: IssuerSettings): string =>
  JSON.stringify([jwksUri ?? issuer, jwksUri === null, ca, proxy, allowPrivateAddresses, allowHttpLoopback])
