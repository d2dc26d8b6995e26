import type { Side } from '../language/tri.ts'
import type { Expectation, When } from '../language/when.ts'
import { sayCheck } from './say-check.ts'
import { anyOf, quoted, rangesText, windowText } from './words.ts'

/** Clauses for an "if", one for each entry of `when`. Where a field may repeat, the two sides read it differently, so they are said differently. */
export const sayWhen = (when: When | null, side: Side): readonly string[] =>
  when === null
    ? []
    : [
        ...(when.ipIn === null ? [] : [`the client address is in ${rangesText(when.ipIn)}`]),
        ...(when.ipNotIn === null ? [] : [`the client address is outside ${rangesText(when.ipNotIn)}`]),
        ...[...when.header].map(([name, wanted]) => sayHeader(name, wanted, side)),
        ...[...when.query].map(([name, wanted]) => sayQuery(name, wanted, side)),
        ...(when.time === null ? [] : [`it is asked ${windowText(when.time)}`]),
        ...(when.check === null ? [] : [sayCheck(when.check)]),
      ]

const sayHeader = (name: string, wanted: Expectation, side: Side): string => {
  if (wanted.kind === 'present')
    return side === 'grant' ? `header ${name} is sent and never empty` : `one header ${name} at least is not empty`
  if (wanted.kind === 'absent')
    return side === 'grant' ? `header ${name} is not sent, or always empty` : `header ${name} is not sent, or empty at least once`
  const values = wanted.kind === 'one-of' ? anyOf(wanted.values) : ''
  return side === 'grant' ? `header ${name} is sent and always ${values}` : `one header ${name} at least is ${values}`
}

const sayQuery = (name: string, wanted: Expectation, side: Side): string => {
  const parameter = `query parameter ${quoted(name)}`
  if (wanted.kind === 'present' || wanted.kind === 'absent') return `${parameter} is ${wanted.kind === 'present' ? 'given' : 'not given'}`
  const values = wanted.kind === 'one-of' ? anyOf(wanted.values) : sayRange(wanted)
  return side === 'grant' ? `${parameter}, if given, is always ${values}` : `one ${parameter} at least is ${values}`
}

const sayRange = ({ min, max }: { readonly min: number; readonly max: number }): string => {
  if (!Number.isFinite(max)) return `a whole number of at least ${min}`
  return Number.isFinite(min) ? `a whole number from ${min} to ${max}` : `a whole number of at most ${max}`
}
