import { readDocument } from '../../config/document.ts'
import { type Held, Later } from '../../config/later.ts'
import { bad, choice, entryOf, type JsonSchema, list, optional, record, required, type Shape, text } from '../../config/shape.ts'
import type { Node, Source } from '../../config/source.ts'
import type { Steps } from '../../config/steps.ts'
import { noObligations, type Obligations } from '../../model/obligation.ts'
import { circles } from './circles.ts'
import { type Claim, claimsShape } from './claims.ts'
import { modeShape } from './mode.ts'
import { platformName } from './names.ts'
import { alwaysShape } from './obligations.ts'
import { type Recognise, recogniseShape } from './recognise-shape.ts'
import { misplaced, type Rule, roleShape, ruleShape } from './rule.ts'
import { emptyScope, located, ruleNames, type Scope } from './scope.ts'
import { type Definition, whoShape } from './who.ts'

export interface PolicyDocument {
  readonly owners: readonly string[]
  /** Milliseconds since the epoch until which the tenant's own refusals are recorded and let pass; null: they are enforced. */
  readonly observeUntil: number | null
  readonly claims: ReadonlyMap<string, Claim>
  readonly who: ReadonlyMap<string, Definition>
  readonly rules: readonly Rule[]
  readonly always: Obligations
  readonly sharedRoles: readonly string[]
}

export interface ReadPolicy {
  /** Null if anything in the file is wrong. */
  readonly document: PolicyDocument | null
  /** What the file claims, as far as that alone can be read: a refused tenant's requests are still known as its own. */
  readonly recognise: Recognise | null
}

/** Reads one policy file; `tenant` is what the file name says. What is wrong is in `source.findings`. */
export function* readingPolicy(source: Source, tenant: string, scope: Scope): Steps<ReadPolicy> {
  const { root } = source
  if (root === null) return { document: null, recognise: null }
  if (!isVersion(source, root, 'policy/v1')) return { document: null, recognise: null }
  let recognise: Recognise | null = null
  const keep = (value: Recognise): void => {
    recognise = value
  }
  const later = new Later()
  const { value } = readDocument(source, documentShape(scope, tenant, keep, later))
  yield* later.read()
  checkNames(source, root)
  if (value === null || !source.ok) return { document: null, recognise }
  const { owners, mode, claims, who, rules, always } = value
  const document = {
    owners,
    observeUntil: mode,
    claims,
    who: new Map([...who].flatMap(([name, { value: one }]) => (one === bad ? [] : [[name, one] as const]))),
    rules: rules.flatMap(({ value: rule }) => (rule === bad ? [] : rule)),
    always,
    sharedRoles: value['shared-roles'],
  }
  return { document, recognise }
}

/** The first key says what the rest means: without it, or with another version, nothing else is guessed. */
export const isVersion = (source: Source, root: Node, version: string): boolean => {
  if (root.kind !== 'map') return true
  const entry = entryOf(root, 'postern')
  if (entry === undefined) return true
  if (root.entries[0] !== entry) source.error(entry.keyOffset, 202, 'postern is not the first key; move it to the top of the file.')
  if (entry.value.kind === 'scalar' && entry.value.value === version) return true
  source.error(entry.value.offset, 204, `this version of Postern reads ${version} only; write "postern: ${version}".`)
  return false
}

const checkNames = (source: Source, root: Node): void => {
  const seen = new Map<string, number>()
  for (const { text: name, offset } of ruleNames(root)) {
    const first = seen.get(name)
    if (first !== undefined)
      source.error(
        offset,
        205,
        `a rule "${name}" stands in line ${source.position(first).line} already; choose another name for one of them.`,
      )
    else seen.set(name, offset)
  }
  const who = root.kind === 'map' ? entryOf(root, 'who')?.value : undefined
  if (who?.kind !== 'map') return
  const references = new Map(
    who.entries.map(entry => [entry.key, entry.value.kind === 'list' ? located(entry.value).map(one => one.text) : []]),
  )
  for (const [name, message] of circles(references)) source.error(entryOf(who, name)?.keyOffset ?? who.offset, 208, message)
}

export const documentShape = (scope: Scope, tenant: string, keep: (recognise: Recognise) => void, later: Later) =>
  record({
    postern: required(choice(['policy/v1']), 'Write postern: policy/v1.'),
    tenant: required(tenantShape(tenant), `Write tenant: ${tenant}.`),
    mode: scope.platform
      ? misplaced<number | null>(406, 'the platform file has no mode; its denies are always enforced. Remove it.', null)
      : optional<number | null>(modeShape, null, 'enforce, or until when refusals by the rules of this file are only recorded.'),
    owners: required(
      list(owner, { min: 1, max: 20 }),
      'Write the e-mail addresses of those who answer for this file: owners: [security@example.com]',
    ),
    recognise: scope.platform
      ? misplaced(406, 'the platform file holds for every tenant, so it recognises none. Remove recognise.')
      : required(kept(recogniseShape, keep), 'Write which requests belong to the tenant: recognise: { issuer: ..., audience: ... }'),
    claims: optional<ReadonlyMap<string, Claim>>(claimsShape, new Map(), 'Claims that the policy may read.'),
    who: optional<ReadonlyMap<string, Held<Definition>>>(whoShape(scope, later), new Map(), 'Named callers.'),
    always: optional<Obligations>(alwaysShape(scope.platform), noObligations, 'Obligations on every allowed request.'),
    rules: required(list(later.part(ruleShape(scope)), { max: 5000 }), 'Write the rules; "rules: []" refuses every request.'),
    'shared-roles': scope.platform
      ? optional<readonly string[]>(list(roleShape), [], 'Roles that every tenant may name.')
      : misplaced<readonly string[]>(201, `"shared-roles" is not a key here; it stands in ${platformName}.policy.yaml only.`, []),
  })

/** What an editor is told of a policy file. */
export const documentSchema = (platform: boolean): JsonSchema =>
  documentShape({ ...emptyScope, platform }, 'acme', () => undefined, new Later()).schema

const kept = <T>(shape: Shape<T>, keep: (value: T) => void): Shape<T> => ({
  schema: shape.schema,
  read(node, at) {
    const value = shape.read(node, at)
    if (value !== bad) keep(value)
    return value
  },
})

const tenantShape = (tenant: string): Shape<string> =>
  text(
    'the tenant of the file name',
    value => (value === tenant ? null : `tenant is "${value}", but the file name says "${tenant}"; make them the same.`),
    109,
  )

const owner = text('an e-mail address', value =>
  /^[^\s@]+@[^\s@]+$/.test(value) ? null : `"${value}" is not an e-mail address; write for example security@example.com.`,
)
