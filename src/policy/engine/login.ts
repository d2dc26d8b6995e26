import type { LoginChallenge } from '../../model/problem.ts'
import type { Login } from '../language/login.ts'
import { told, yes } from '../language/tri.ts'
import type { Condition, Look } from './conditions.ts'

/** `needs-login` of one allow, ready to be judged once the allow has decided. */
export interface CompiledLogin {
  readonly conditions: readonly Condition[]
  readonly challenge: LoginChallenge
}

export const compileLogin = ({ acr, amr, within }: Login): CompiledLogin => ({
  conditions: [
    ...(acr === null ? [] : [{ label: 'needs-login.acr', test: acrTest(acr) }]),
    ...(amr === null ? [] : [{ label: 'needs-login.amr', test: amrTest(amr) }]),
    ...(within === null ? [] : [{ label: 'needs-login.within', test: withinTest(within) }]),
  ],
  challenge: { acrValues: acr ?? [], maxAge: within === null ? null : within / 1000 },
})

/** What is missing is unmet, and so is what cannot be told. */
export const isMet = ({ conditions }: CompiledLogin, look: Look): boolean => conditions.every(({ test }) => test(look) === yes)

const acrTest = (wanted: readonly string[]): Condition['test'] => {
  const set = new Set<unknown>(wanted)
  return look => told(set.has(look.facts.identity.claims['acr']))
}

const amrTest = (wanted: readonly string[]): Condition['test'] => {
  const set = new Set<unknown>(wanted)
  return look => {
    const means = look.facts.identity.claims['amr']
    return told(Array.isArray(means) && means.some(one => set.has(one)))
  }
}

/** A provider's clock may be ahead by so much; a sign-in further in the future would stay fresh for as long as somebody likes. */
const aheadMs = 60_000

const withinTest =
  (most: number): Condition['test'] =>
  ({ facts: { identity, now } }) => {
    const signedIn = identity.claims['auth_time']
    if (typeof signedIn !== 'number') return told(false)
    const age = now - signedIn * 1000
    return told(age <= most && age >= -aheadMs)
  }
