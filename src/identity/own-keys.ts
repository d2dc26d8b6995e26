import { createPublicKey, type KeyObject } from 'node:crypto'
import { Refusal } from '../model/problem.ts'
import type { AlgorithmName } from './algorithms.ts'
import { thumbprint } from './assertion.ts'
import type { VerificationKey } from './jwk.ts'
import { KeySet } from './jwks.ts'
import type { Found, Keys } from './keyring.ts'

/** The keys with which Postern itself signs. Nothing is fetched, so an unknown key is one that does not exist. */
export class OwnKeys implements Keys {
  #keys = new KeySet([])

  find(kid: string | null, alg: AlgorithmName): Found {
    return this.#keys.pick(kid, alg) ?? new Refusal('PST3005', 'kid')
  }

  /** By their private keys, which are Ed25519. One that stays is the same object, so that what it signed stays known; one that goes takes that along. */
  replace(next: readonly KeyObject[]): void {
    const old = this.#keys.keys
    const kept = next.map(key => old.find(known => known.kid === thumbprint(key)) ?? publicOf(key))
    for (const key of old) key.live = kept.includes(key)
    this.#keys = new KeySet(kept)
  }

  status(): ReturnType<Keys['status']> {
    return { keys: this.#keys.keys.length, ageSeconds: null, lastError: null }
  }

  close(): void {
    this.replace([])
  }
}

const publicOf = (key: KeyObject): VerificationKey => {
  const name = thumbprint(key)
  return { kid: name, thumbprint: name, algorithms: ['EdDSA'], material: createPublicKey(key), live: true }
}
