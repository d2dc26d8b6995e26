import { opening } from '../../config/source.ts'
import type { Steps } from '../../config/steps.ts'
import type { Finding } from '../../model/finding.ts'
import { policyEngine } from '../decide.ts'
import { digestOf, type PolicyFile, type Version } from '../load/version.ts'
import { type ReadTestFile, readTestFile, type TestFile } from './file.ts'
import { type Bench, runningTests } from './run.ts'

/** What the tests beside one version say. Kept from load to load as long as nothing that they depend on changes. */
export interface Tested {
  readonly files: readonly TestFile[]
  readonly findings: readonly Finding[]
  readonly readKey: string
  readonly readFindings: readonly Finding[]
  readonly runKey: string
  readonly runFindings: readonly Finding[]
}

interface Ask {
  readonly version: Version
  readonly tests: readonly PolicyFile[]
  /** Null: missing or refused. */
  readonly platform: Version | null
  readonly run: boolean
  readonly before: Tested | null
}

export function* testingVersion(ask: Ask): Steps<Tested> {
  const read = yield* readTests(ask)
  const run = yield* runAll(ask, read)
  return { ...read, ...run, findings: [...read.readFindings, ...run.runFindings] }
}

type Read = Pick<Tested, 'files' | 'readKey' | 'readFindings'>

function* readTests({ version, tests, platform, before }: Ask): Steps<Read> {
  const rules = platform?.scope?.rules ?? null
  const digests = tests.map(file => `${file.name} ${digestOf(file.bytes)}`)
  const readKey = [version.digest, ...(rules ? rules.keys() : ['?']), ...digests].join('\n')
  if (before?.readKey === readKey) return before
  // Without the policy every name in its tests would look unknown.
  if (version.scope === null) return { files: [], readKey, readFindings: [] }
  const scope = { tenant: version.tenant, policy: version.scope, platformRules: rules }
  const read: ReadTestFile[] = []
  for (const file of tests) read.push(readTestFile(file, scope, yield* opening({ file: file.name, bytes: file.bytes, family: 'P' })))
  const readFindings = tests.length === 0 ? [untested(version)] : read.flatMap(one => one.findings)
  return { files: read.flatMap(one => one.test ?? []), readKey, readFindings }
}

const untested = (version: Version): Finding => ({
  file: version.file,
  line: 0,
  column: 0,
  severity: 'warning',
  code: 'W806',
  message: `no tests stand beside this policy; write ${version.tenant}.policy-test.yaml.`,
})

function* runAll(
  { version, platform, run, before }: Ask,
  { files, readKey, readFindings }: Read,
): Steps<Pick<Tested, 'runKey' | 'runFindings'>> {
  const runKey = run && version.policy !== null && platform?.policy ? `${readKey}\n${platform.digest}` : ''
  if (before?.runKey === runKey) return before
  const bench = runKey === '' ? null : benchOf(version, platform)
  if (bench === null) return { runKey, runFindings: [] }
  const { findings } = yield* runningTests(bench, files, { coverage: isWhole(readFindings) })
  return { runKey, runFindings: findings }
}

/** All test files could be read, so a rule that nothing covers is really not covered. */
export const isWhole = (readFindings: readonly Finding[]): boolean => !readFindings.some(finding => finding.severity === 'error')

/** Null: the policy or the platform file is refused, so there is nothing to decide with. */
export const benchOf = (version: Version, platform: Version | null): Bench | null => {
  const { tenant, policy, recognise, digest, file } = version
  if (policy === null || recognise === null || !platform?.policy) return null
  const state = { tenant, state: 'enforced', digestEnforced: digest, digestOnDisk: digest } as const
  const engine = policyEngine(platform.policy, [{ policy, recognise, state }])
  return { engine, policy, platform: platform.policy, recognise, file, platformFile: platform.file }
}
