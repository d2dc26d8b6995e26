import type { Finding } from '../../model/finding.ts'
import { platformName, tenantProblem } from '../language/names.ts'
import type { PolicyFile } from './version.ts'

/** What the names of the files say. */
export interface Folder {
  readonly platform: readonly PolicyFile[]
  /** In order of name. */
  readonly tenants: ReadonlyMap<string, TenantFiles>
  /** Names that are refused, and tests without a policy. */
  readonly findings: readonly Finding[]
}

export interface TenantFiles {
  readonly policies: readonly PolicyFile[]
  readonly tests: readonly PolicyFile[]
}

const wholeFile = (file: string, message: string): Finding => ({ file, line: 0, column: 0, severity: 'error', code: 'P109', message })

const baseName = (name: string): string => name.slice(name.lastIndexOf('/') + 1)
export const folderOf = (name: string): string => name.slice(0, name.lastIndexOf('/') + 1)

/** Sorts files by what their names say. The order in which they come does not matter. */
export const sortFiles = (files: readonly PolicyFile[]): Folder => {
  const platform: PolicyFile[] = []
  const policies = new Map<string, PolicyFile[]>()
  const tests = new Map<string, PolicyFile[]>()
  const findings: Finding[] = []
  for (const file of files.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))) {
    const name = baseName(file.name)
    if (name === `${platformName}.policy.yaml`) platform.push(file)
    else if (name.endsWith('.policy.yaml')) addFile(policies, name.slice(0, -'.policy.yaml'.length), file, findings)
    else if (name.endsWith('.policy-test.yaml')) addFile(tests, testTenant(name), file, findings)
  }
  for (const [tenant, orphans] of tests)
    if (!policies.has(tenant))
      for (const file of orphans)
        findings.push(wholeFile(file.name, `there is no ${tenant}.policy.yaml for these tests; write it, or remove this file.`))
  const names = [...policies.keys()].sort()
  return {
    platform,
    tenants: new Map(names.map(name => [name, { policies: policies.get(name) ?? [], tests: tests.get(name) ?? [] }])),
    findings,
  }
}

/** `<tenant>.policy-test.yaml` or `<tenant>.<part>.policy-test.yaml`. */
const testTenant = (name: string): string => {
  const stem = name.slice(0, -'.policy-test.yaml'.length)
  const dot = stem.indexOf('.')
  return dot < 0 ? stem : stem.slice(0, dot)
}

const addFile = (into: Map<string, PolicyFile[]>, tenant: string, file: PolicyFile, findings: Finding[]): void => {
  const wrong =
    tenant === platformName ? 'the platform file has no tests of its own; test its rules in the files of tenants.' : tenantProblem(tenant)
  if (wrong !== null) {
    findings.push(wholeFile(file.name, `the file name names no tenant: ${wrong}`))
    return
  }
  const known = into.get(tenant)
  if (known === undefined) into.set(tenant, [file])
  else known.push(file)
}

/** More than one policy for a tenant, or tests that do not stand beside it: no guess is made which one was meant. */
export const misplacedFiles = ({ policies, tests }: TenantFiles): { readonly policies: Finding[]; readonly tests: Finding[] } => {
  const [first, ...more] = policies
  const beside = folderOf(first?.name ?? '')
  return {
    policies: more.map(file => wholeFile(file.name, `${first?.name} is a policy of the same tenant; a tenant has one file. Remove one.`)),
    tests: tests
      .filter(file => folderOf(file.name) !== beside)
      .map(file => wholeFile(file.name, `the policy of these tests is ${first?.name}; move the tests beside it.`)),
  }
}
