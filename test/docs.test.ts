import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { main } from '../cmd/main.ts'
import { problems } from '../src/model/problem.ts'
import { allowedCode, eventCodes, toldCode } from '../src/record/codes.ts'
import { readConfig, showConfig } from '../src/settings.ts'
import { version } from '../src/version.ts'

const root = resolve(import.meta.dirname, '..')
const text = (path: string): string => readFileSync(join(root, path), 'utf8')

const run = async (...argv: string[]): Promise<{ readonly code: number; readonly out: string }> => {
  let out = ''
  const code = await main(argv, { out: said => (out += said), err: said => (out += said) })
  return { code, out }
}

describe('docs and code agree', () => {
  it('on every code, its reason, its status and what the client is told', () => {
    const rows = [...text('src/ARCHITECTURE.md').matchAll(/^\| (PST\d{4}) \| ([a-z-]+) \| (\d{3}) \| ([a-z-]+) \|$/gm)].map(row =>
      row.slice(1, 5),
    )
    expect(rows).toEqual(Object.entries(problems).map(([code, row]) => [code, row.reason, String(row.status), row.client]))
    const records = [...text('src/ARCHITECTURE.md').matchAll(/^\| (PST\d{4}) \| ([a-z:-]+[a-z: -]*) \|$/gm)].map(row => row[1])
    expect(records).toEqual([allowedCode, toldCode, ...Object.values(eventCodes)])
  })

  it('on the folders and files of src', () => {
    const named = text('src/ARCHITECTURE.md')
    for (const entry of readdirSync(join(root, 'src'), { withFileTypes: true }))
      if (entry.isDirectory()) expect(named, entry.name).toContain(`\`${entry.name}/\``)
  })

  it('on every dependency, with a reason', () => {
    const { dependencies, devDependencies } = JSON.parse(text('package.json')) as Record<
      'dependencies' | 'devDependencies',
      Record<string, string>
    >
    const named = text('src/ARCHITECTURE.md').split('## Dependencies')[1] ?? ''
    for (const name of [...Object.keys(dependencies), ...Object.keys(devDependencies)])
      if (name !== '@types/node') expect(named, name).toContain(`\`${name}\``)
  })

  it('on the version', () => {
    expect(version).toBe((JSON.parse(text('package.json')) as { version: string }).version)
    expect(text('CHANGELOG.md')).toContain(`## ${version}`)
  })

  it('on the commands: README, usage and --help name the same', async () => {
    const { out } = await run('--help')
    const commands = [...out.matchAll(/^ {2}postern (\w+)/gm)].map(found => found[1] ?? '')
    const readme = text('README.md').split('## Commands')[1] ?? ''
    for (const command of commands) {
      expect(readme, command).toContain(command)
      const help = await run(command, '--help')
      expect(help.code).toBe(0)
      expect(help.out, command).toContain(`postern ${command}`)
    }
    expect(commands).not.toHaveLength(0)
  })

  it('on the links of the README: each leads to a file', () => {
    for (const [, path] of text('README.md').matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g))
      expect(() => readdirSync(join(root, path ?? '', '..')), path).not.toThrow()
  })
})

describe('proxy.config.yaml', () => {
  const read = readConfig('proxy.config.yaml', readFileSync(join(root, 'proxy.config.yaml')))

  it('loads without a finding', () => {
    expect(read.source.findings).toEqual([])
  })

  it('shows every key that this version builds, written or commented out', () => {
    const file = text('proxy.config.yaml')
    for (const { key } of showConfig(read)) expect(file, key).toMatch(new RegExp(`\\b${key.split('.').at(-1)}\\b`))
  })

  it('says "default" only where the value is the default', () => {
    const marked = text('proxy.config.yaml')
      .split('\n')
      .filter(line => /# default(?! audit)/.test(line) && !/^\s*#/.test(line))
    const without = text('proxy.config.yaml')
      .split('\n')
      .filter(line => !marked.includes(line) && !/^(policies|limits|dpop|revocation):/.test(line))
      .join('\n')
    const stripped = readConfig('proxy.config.yaml', Buffer.from(without))
    const values = (shown: ReturnType<typeof showConfig>) =>
      shown.filter(({ key }) => !['issuers', 'upstreams'].includes(key)).map(({ key, value }) => [key, value])
    expect(stripped.source.findings).toEqual([])
    expect(values(showConfig(stripped))).toEqual(values(showConfig(read)))
  })
})

describe('the command line', () => {
  it('answers an unknown command, option or nothing with 64 and what to do', async () => {
    expect((await run('srve')).code).toBe(64)
    expect((await run()).code).toBe(64)
    const option = await run('status', '--nonsense')
    expect(option.code).toBe(64)
    expect(option.out).toContain('postern status --help')
  })

  it('prints the version as JSON', async () => {
    expect(JSON.parse((await run('version', '--json')).out)).toEqual({ version, node: process.versions.node })
  })

  it('shows a broken configuration as file:line:col, code and what to write, and ends with 64', async () => {
    const { code, out } = await run('config', 'show', '--config', join(root, 'package.json'))
    expect(code).toBe(64)
    expect(out).toMatch(/package\.json:\d+:\d+ error C\d{3} /)
  })
})
