import { hash } from 'node:crypto'
import { entryOf } from '../../config/shape.ts'
import { opening, type Source } from '../../config/source.ts'
import { finish, type Steps } from '../../config/steps.ts'
import type { Finding } from '../../model/finding.ts'
import { type CompiledPolicy, compilingPolicy } from '../engine/compile.ts'
import type { SharedTests } from '../engine/conditions.ts'
import { platformName } from '../language/names.ts'
import { readingPolicy } from '../language/read.ts'
import type { Recognise } from '../language/recognise-shape.ts'
import { type Located, located, type Scope, type Spot, scopeOf } from '../language/scope.ts'

/** A file under the policies folder. */
export interface PolicyFile {
  /** Path relative to the folder, with "/". */
  readonly name: string
  readonly bytes: Buffer
}

/** One digest of one policy file, read once. */
export interface Version {
  readonly tenant: string
  readonly file: string
  readonly digest: string
  /** Null: the file is refused for what stands in it. */
  readonly policy: CompiledPolicy | null
  readonly recognise: Recognise | null
  readonly findings: readonly Finding[]
  /** Names for the reader of its tests; null where nothing could be read. */
  readonly scope: Scope | null
  readonly spots: Spots
}

interface Spots {
  readonly tenant: Spot
  readonly recognise: Spot
  readonly issuers: readonly { readonly text: string; readonly spot: Spot }[]
  readonly mode: Spot
}

export const digestOf = (bytes: Buffer): string => hash('sha256', bytes, 'hex')

export const readVersion = (tenant: string, file: PolicyFile, digest: string): Version => finish(readingVersion(tenant, file, digest))

export function* readingVersion(tenant: string, file: PolicyFile, digest: string, tests: SharedTests = new Map()): Steps<Version> {
  const source = yield* opening({ file: file.name, bytes: file.bytes, family: 'P' })
  yield
  const scope = scopeOf(source, tenant === platformName)
  const { document, recognise } = yield* readingPolicy(source, tenant, scope)
  return {
    tenant,
    file: file.name,
    digest,
    policy: document && (yield* compilingPolicy(tenant, digest, document, tests)),
    recognise,
    findings: source.findings,
    scope: source.root === null ? null : scope,
    spots: spotsOf(source),
  }
}

const spotsOf = (source: Source): Spots => {
  const root = source.root?.kind === 'map' ? source.root : null
  const recognise = root ? entryOf(root, 'recognise') : undefined
  const spot = (offset: number | undefined): Spot => (offset === undefined ? { line: 0, column: 0 } : source.position(offset))
  const issuers: readonly Located[] = recognise?.value.kind === 'map' ? located(entryOf(recognise.value, 'issuer')?.value) : []
  return {
    tenant: spot(root ? entryOf(root, 'tenant')?.value.offset : undefined),
    recognise: spot(recognise?.keyOffset),
    issuers: issuers.map(one => ({ text: one.text, spot: source.position(one.offset) })),
    mode: spot(root ? entryOf(root, 'mode')?.value.offset : undefined),
  }
}

/** An error that only shows when files are compared. */
export const findingAt = (file: string, spot: Spot, code: string, message: string): Finding => ({
  file,
  ...spot,
  severity: 'error',
  code,
  message,
})
