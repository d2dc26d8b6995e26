import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import * as command from '../../cmd/schema.ts'
import { parseLine } from '../../src/policy/language/pattern.ts'
import { editorSchemas } from '../../src/schemas.ts'
import { violations } from '../support/json-schema.ts'
import { chance, policyFile, policyOf } from './policy/generate.ts'

const root = resolve(import.meta.dirname, '../..')
const text = (path: string): string => readFileSync(join(root, path), 'utf8')
const schemas = editorSchemas()
const check = (name: string, content: string): readonly string[] => violations(schemas.get(name) ?? {}, parse(content))

describe('the schemas for editors', () => {
  it('stand in policies/schema as they are made: postern schema -o policies/schema writes them again', () => {
    const made = [...schemas].map(([name, schema]) => [name, `${JSON.stringify(schema, null, 2)}\n`] as const)
    expect(readdirSync(join(root, 'policies/schema')).sort()).toEqual([...schemas.keys()].sort())
    for (const [name, content] of made) expect(text(`policies/schema/${name}`) === content, name).toBe(true)
  })

  it('are what the first line of each of our files points to', () => {
    const files = [
      'proxy.config.yaml',
      ...readdirSync(join(root, 'policies')).flatMap(name => (name.endsWith('.yaml') ? `policies/${name}` : [])),
    ]
    expect(files.length).toBeGreaterThan(5)
    for (const file of files) {
      const path = /^# yaml-language-server: \$schema=(\S+)\n/.exec(text(file))?.[1] ?? ''
      const kind = /(policy-test|policy|config)\.yaml$/.exec(file)?.[1]
      expect(resolve(root, file, '..', path), file).toBe(join(root, `policies/schema/${kind}-v1.json`))
      expect(check(`${kind}-v1.json`, text(file)), file).toEqual([])
    }
  })

  it('describe every key', () => {
    const undescribed = (value: unknown, path: string): string[] => {
      if (typeof value !== 'object' || value === null) return []
      return Object.entries(value).flatMap(([key, inner]) => [
        ...(path.endsWith('.properties') && key !== '_' && !/"description":"./.test(JSON.stringify(inner)) && !('const' in inner)
          ? [`${path}.${key}`]
          : []),
        ...undescribed(inner, `${path}.${key}`),
      ])
    }
    for (const [name, schema] of schemas) expect(undescribed(schema, ''), name).toEqual([])
  })

  it('accept whatever the reader accepts: 300 generated policies', () => {
    const c = chance(7)
    for (let i = 0; i < 300; i++) expect(check('policy-v1.json', policyFile(policyOf(c)).bytes.toString())).toEqual([])
  })
})

describe('paths', () => {
  const schema = JSON.stringify(schemas.get('policy-v1.json'))
  const pattern = new RegExp(JSON.parse(`"${/"pattern":"(\^\(ANY\|(?:[^"\\]|\\.)*)"/.exec(schema)?.[1]}"`) as string)

  it.each([
    ...['/', '/v1', '/v1/', '/v1/**', '/**', '/v1/{x}/b', '/v1/{x}/', '/a:b', '/:', '/v1/items:batch', '/.well-known/x', '/a..b', '/...'],
    ...['/:id', '/v1/:account/b', '/v1/:_x', '/v1/./a', '/v1/..', '/v1/*', '/v1/*.json', '/v1/v{n}', '/v1//a', '/v1/**/a', '/v1/{X}'],
    ...['/v1?x=1', '/v1#a', '/v1/a;b', '/v1/a\\b', 'v1', ''],
  ])('an editor and check agree on %s', path => {
    expect(pattern.test(`GET ${path}`)).toBe('segments' in parseLine(`GET ${path}`))
  })
})

describe('typing errors that an editor marks', () => {
  const wrong = (name: string, file: string, from: string, to: string): readonly string[] => {
    expect(text(file)).toContain(from)
    return check(name, text(file).replace(from, to))
  }

  it.each([
    ['rules:', 'rule:', 'lacks rules'],
    ['    why: Contractors work from the office or the VPN only.\n', '', 'rules.0.lacks why'],
    ['who: contractors', 'whom: contractors', 'rules.0.has the unknown key whom'],
    ['owners: [acme-security@example.com]', 'owners: acme-security@example.com', 'owners.is no array'],
    ['postern: policy/v1', 'postern: policy/v2', 'postern.is none of policy/v1'],
    ['to: ANY /v1/**', 'to: GET,HEAD /v1/**', 'rules.0.to.does not fit'],
    ['to: ANY /v1/**', 'to: ANY GET /v1/**', 'rules.0.to.does not fit'],
    ['to: ANY /v1/**', 'to: GET /v1/*', 'rules.0.to.does not fit'],
    ['to: ANY /v1/**', 'to: GET /v1/v{n}', 'rules.0.to.does not fit'],
    ['to: ANY /v1/**', 'to: GET /v1/**/a', 'rules.0.to.does not fit'],
    ['to: ANY /v1/**', 'to: POST', 'rules.0.to.does not fit'],
    ['who: contractors', 'who: { groups: x }', 'rules.0.who.is no string'],
    ['{ groups: acme-finance-leads }', '{ groups: 8e21 }', 'who.finance-leads.groups.is no string'],
    ['{ groups: acme-finance-leads }', '{}', 'who.finance-leads.has fewer than 1 keys'],
    ['ip-not-in:', 'ip-no-in:', 'rules.0.when.has the unknown key ip-no-in'],
    ['    who: contractors\n', '    who: contractors\n    then: { cassandra-role: acme_ro }\n', 'rules.0.then.may not stand here'],
    ['    who: contractors\n', '    who: contractors\n    mode: dark\n', 'rules.0.mode.is none of enforce,shadow'],
    ['- deny: contractors-off-network', '- denies: contractors-off-network', 'rules.0.lacks deny'],
  ])('policy: %j -> %j', (from, to, message) => {
    expect(wrong('policy-v1.json', 'policies/acme.policy.yaml', from, to).join('\n')).toContain(message)
  })

  it.each([
    ['now: 2026-11-23T10:00:00+01:00', '', 'lacks now'],
    ['ip: 10.1.2.3 }', 'ip: 10 }', 'callers.anna.ip.is no string'],
    ['expect: deny by default }', 'expect: denied }', 'does not fit'],
    ['mutants-killed: 90%', 'mutants-killed: 90', 'require.mutants-killed.is no string'],
    ['grid: |', 'grids: |', 'has the unknown key grids'],
    ['POST /v1/invoices\n', 'post /v1/invoices\n', 'requests.write.does not fit'],
  ])('test file: %j -> %j', (from, to, message) => {
    expect(wrong('policy-test-v1.json', 'policies/acme.policy-test.yaml', from, to).join('\n')).toContain(message)
  })

  it('the platform file: an allow and recognise have no place in it', () => {
    const platform = (from: string, to: string) => wrong('policy-v1.json', 'policies/_platform.policy.yaml', from, to).join('\n')
    expect(platform('- deny: no-admin', '- allow: no-admin')).toContain('has the unknown key allow')
    expect(platform('shared-roles:', 'recognise: {}\nshared-roles:')).toContain('recognise.may not stand here')
  })

  it('configuration', () => {
    const config = (from: string, to: string) => wrong('config-v1.json', 'proxy.config.yaml', from, to).join('\n')
    expect(config('delivery: header', 'delivery: cql')).toContain('upstreams.demo.delivery.is none of none,header')
    expect(config('deadline: 27s', 'deadline: 27')).toContain('upstreams.demo.deadline.is no string')
    expect(config('gateway:', 'gate:')).toContain('lacks gateway')
  })
})

describe('postern schema', () => {
  const run = async (...args: string[]) => {
    let out = ''
    const code = await command.run(args, { out: said => (out += said), err: said => (out += said) })
    return { code, out }
  }

  it('prints one, writes all, and says what it needs', async () => {
    expect(await run('policy')).toEqual({ code: 0, out: text('policies/schema/policy-v1.json') })
    const dir = await mkdtemp(join(tmpdir(), 'postern-'))
    expect((await run('-o', join(dir, 'new'))).code).toBe(0)
    expect((await readdir(join(dir, 'new'))).sort()).toEqual([...schemas.keys()].sort())
    expect(await readFile(join(dir, 'new/config-v1.json'), 'utf8')).toBe(text('policies/schema/config-v1.json'))
    await rm(dir, { recursive: true })
    for (const args of [[], ['policies'], ['policy', 'config'], ['policy', '-o', dir]])
      expect(await run(...args)).toMatchObject({ code: 64, out: expect.stringContaining('-o DIR') })
  })
})
