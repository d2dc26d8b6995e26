import type { Facts } from '../../model/decision.ts'
import { tenantIndex } from '../engine/recognise.ts'
import type { Recognise } from '../language/recognise-shape.ts'
import { withIdentity, withOrigin } from './edit.ts'
import type { KeyPath } from './places.ts'
import type { Remedy } from './remedy.ts'
import { anyOf, shown } from './words.ts'

/** One line of `recognise`, and whether it agrees with a token and a host. */
export interface RecogniseLine {
  readonly path: KeyPath
  readonly agrees: boolean
  readonly seen: string
  readonly wanted: string
  readonly remedy: Remedy
}

/** Every line that is given; each is asked of the engine's own index, with nothing else to disagree. */
export const recognitionOf = (recognise: Recognise, facts: Facts): readonly RecogniseLine[] => {
  const { origin, identity } = facts
  const [host] = recognise.host ?? []
  const line = (
    key: KeyPath,
    only: Partial<Recognise>,
    seen: unknown,
    values: readonly string[],
    apply: Remedy['apply'],
  ): RecogniseLine => ({
    path: ['recognise', ...key],
    agrees: agrees(only, facts),
    seen: shown(seen),
    wanted: anyOf(values),
    remedy: { text: `${key.join('.')} would have to be ${anyOf(values)}`, apply },
  })
  const issuer = recognise.issuer[0] ?? ''
  const claims = [...recognise.claims].map(([name, values]) =>
    line(['claims', name], { claims: new Map([[name, values]]) }, own(identity.claims, name), values, at =>
      withIdentity(at, { claims: { ...at.identity.claims, [name]: values[0] } }),
    ),
  )
  return [
    ...(recognise.host === null
      ? []
      : [line(['host'], { host: recognise.host }, origin.host, recognise.host, at => withOrigin(at, { host: host ?? '' }))]),
    line(['issuer'], { issuer: recognise.issuer }, identity.issuer, recognise.issuer, at => withIdentity(at, { issuer })),
    line(['audience'], { audience: recognise.audience }, identity.audiences, recognise.audience, at =>
      withIdentity(at, { audiences: recognise.audience.slice(0, 1) }),
    ),
    ...claims,
  ]
}

const agrees = (only: Partial<Recognise>, { origin, identity }: Facts): boolean => {
  const audience = only.audience === undefined ? ['any'] : identity.audiences
  const recognise: Recognise = { host: null, issuer: [identity.issuer], audience: ['any'], claims: new Map(), ...only }
  return tenantIndex([{ recognise, value: 0 }])({ ...identity, audiences: audience }, origin.host) !== 'none'
}

const own = (claims: Readonly<Record<string, unknown>>, name: string): unknown => (Object.hasOwn(claims, name) ? claims[name] : undefined)
