import type { Basis, Reads } from '../../model/fact.ts'
import type { Recognise } from '../language/recognise-shape.ts'
import type { CompiledPolicy } from './compile.ts'
import { compileReads, readSet, recogniseDigest } from './reads.ts'

/** What decisions by one tenant's policy stand on. Worked out for its first request: a reload of a thousand tenants must not wait for it. */
export class TenantBasis implements Basis {
  readonly #platform: CompiledPolicy
  readonly #policy: CompiledPolicy
  readonly #recognise: Recognise
  #reads: Reads | null = null
  #recognised: string | null = null

  constructor(platform: CompiledPolicy, policy: CompiledPolicy, recognise: Recognise) {
    this.#platform = platform
    this.#policy = policy
    this.#recognise = recognise
  }

  get platformDigest(): string {
    return this.#platform.digest
  }

  get recognised(): string {
    this.#recognised ??= recogniseDigest(this.#recognise)
    return this.#recognised
  }

  get reads(): Reads {
    this.#reads ??= compileReads(readSet([this.#platform.document, this.#policy.document], this.#recognise.claims.keys()))
    return this.#reads
  }
}

/** Claims by which tenants are told apart, kept of a caller of none: a bound, as no file bounds them all together. */
const mostRecognised = 16

/** Of requests that no policy judged. */
export const strangersBasis = (platform: CompiledPolicy, claimants: readonly { readonly recognise: Recognise }[]): Basis => {
  const names = [...new Set(claimants.flatMap(({ recognise }) => [...recognise.claims.keys()]))].sort()
  return { platformDigest: platform.digest, recognised: null, reads: compileReads(readSet([], names.slice(0, mostRecognised))) }
}
