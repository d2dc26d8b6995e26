import { openGate, settingsFor } from '../support/issuer.ts'
import { audience } from './cases.ts'
import { median } from './figures.ts'

/** What it costs a request to know who calls, in microseconds. */
export interface IdentityCost {
  /** A token that was seen before: a look-up and a look at two clocks. */
  readonly known_us: number
  /** One that was not: taken apart, its signature checked. */
  readonly verified_us: number
}

const rounds = 7
const repeats = 100

/** In this process, over tokens of the bench. Synchronous once the issuer's keys are there, so a clock around it measures nothing else. */
export const identityCost = async (issuer: string, tokens: readonly string[]): Promise<IdentityCost> => {
  const { identifier } = openGate([settingsFor(issuer, { audiences: [audience] })], { cacheEntries: tokens.length })
  const values = tokens.map(token => `Bearer ${token}`)
  const [first = '', ...rest] = values
  await identifier.identify(first)
  const each = (list: readonly string[], times: number): number => {
    const began = performance.now()
    for (let i = 0; i < times; i++)
      for (const value of list) if (!('subject' in identifier.identify(value))) throw new Error('a token of the bench is nobody')
    return ((performance.now() - began) * 1000) / (list.length * times)
  }
  const verified = each(rest, 1)
  const known = Array.from({ length: rounds }, () => each(values, repeats))
  identifier.close()
  return { known_us: Number(median(known).toFixed(3)), verified_us: Number(verified.toFixed(1)) }
}
