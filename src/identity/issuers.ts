import type { Deps } from '../model/deps.ts'
import type { Bounds } from './bounds.ts'
import { Introspector } from './introspector.ts'
import { KeyRing } from './keyring.ts'
import type { IssuerSettings } from './settings.ts'

export interface Issuer {
  readonly settings: IssuerSettings
  readonly ring: KeyRing
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
  #byName: ReadonlyMap<string, Issuer> = new Map()

  constructor(deps: Deps, bounds: Bounds) {
    this.#deps = deps
    this.#bounds = bounds
  }

  configure(list: readonly IssuerSettings[]): void {
    const old = [...this.#byName.values()]
    const rings = new Map(old.map(({ settings, ring }) => [originOf(settings), ring]))
    const kept = new Set<KeyRing>()
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
  #open(settings: IssuerSettings, rings: Map<string, KeyRing>): Issuer {
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
