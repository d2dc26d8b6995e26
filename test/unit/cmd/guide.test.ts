import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { main } from '../../../cmd/main.ts'
import { composed, file, load, platformFile } from '../policy/fixtures.ts'

const own = join(import.meta.dirname, '../../../policies')
const guide = await readFile(join(own, 'README.md'), 'utf8')
const blocks = [...guide.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, language, text]) => ({ language, text: text ?? '' }))
const of = (language: string): string[] => blocks.flatMap(block => (block.language === language ? block.text : []))

describe('policies/README.md', () => {
  it('shows a policy that the reader accepts', () => {
    const [policy = ''] = of('yaml')
    expect(load([platformFile(), file('acme.policy.yaml', policy)]).findings.map(f => f.code)).toEqual(['W806'])
  })

  it('shows tests that hold for the policy of acme', async () => {
    const tests = of('yaml').find(text => text.startsWith('callers:')) ?? ''
    const head = 'postern: policy-test/v1\ntenant: acme\nnow: 2026-11-23T10:00:00+01:00\n'
    const files = [
      file('_platform.policy.yaml', await readFile(join(own, '_platform.policy.yaml'), 'utf8')),
      file('acme.policy.yaml', await readFile(join(own, 'acme.policy.yaml'), 'utf8')),
      file('acme.policy-test.yaml', head + tests.replace('rules-covered: 100%', 'rules-covered: 0%')),
    ]
    expect(load(files, null, { testsGateReload: true }).findings).toEqual([])
    expect(composed(files).entries.get('acme')?.tested.files[0]?.expectations).toHaveLength(7)
  })

  it('quotes northwind as it stands', async () => {
    const quoted = of('yaml').filter(text => /^(always|never):|- allow: own-stock/.test(text))
    expect(quoted).toHaveLength(3)
    const files = await Promise.all(['policy', 'policy-test'].map(kind => readFile(join(own, `northwind.${kind}.yaml`), 'utf8')))
    const lines = new Set(
      files
        .join('')
        .split('\n')
        .map(line => line.replace(/ +#.*/, '')),
    )
    for (const line of quoted.join('').trimEnd().split('\n')) expect(lines).toContain(line)
    expect(files.join('')).toContain(/`(- \{ ask: will stock[^`]+)`/.exec(guide)?.[1])
  })

  it('has an exercise that goes as it says', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'postern-'))
    await cp(own, join(dir, 'mine'), { recursive: true })
    const [start = '', ...commands] = of('sh')
    const [refused = '', survivors = '', sound = '', refuted = '', gains = ''] = of('')
    const run = async (line: string): Promise<string> => {
      const args = line
        .trim()
        .replace(/^npm run -s postern -- /, '')
        .split(' ')
      let out = ''
      await main(
        args.map(word => (word === 'mine' ? join(dir, 'mine') : word.replace('./policies', own))),
        { out: said => (out += said), err: said => (out += said) },
      )
      return out
    }
    const edit = async (name: string, from: string, to: string): Promise<void> => {
      const text = await readFile(join(dir, 'mine', name), 'utf8')
      expect(text).toContain(from)
      await writeFile(join(dir, 'mine', name), text.replace(from, to))
    }
    const rule = /<<'END'\n([\s\S]*?)END\n/.exec(start)?.[1] ?? ''
    const policy = join(dir, 'mine/globex.policy.yaml')
    await writeFile(policy, (await readFile(policy, 'utf8')) + rule)
    expect(await run(start.trim().split('\n').at(-1) ?? '')).toContain(refused)
    await edit('globex.policy.yaml', 'who: auditor\n', 'who: auditors\n')
    expect(await run('npm run -s postern -- test --policies mine')).toContain('error P704 no expectation is decided by export-invoices')
    const request = /`(export: GET [^`]+)`/.exec(guide)?.[1] ?? ''
    const asked = /`(- \{ ask: kpmg export, expect: allow[^`]+)`/.exec(guide)?.[1] ?? ''
    await edit('globex.policy-test.yaml', 'requests:\n', `requests:\n  ${request}\n`)
    await edit('globex.policy-test.yaml', 'cases:\n', `cases:\n  ${asked}\n`)
    expect(await run(commands[0] ?? '')).toBe(survivors)
    for (const [, key, line] of survivors.matchAll(/^ {2}to (\w+) of \S+: {2}(.*)$/gm))
      await edit('globex.policy-test.yaml', `${key}:\n`, `${key}:\n  ${line}\n`)
    expect(await run(commands[1] ?? '')).toContain(sound)
    const promise = /`(- order-desk [^`]+)`/.exec(guide)?.[1] ?? ''
    await edit('globex.policy-test.yaml', 'never:\n', `never:\n  ${promise}\n`)
    expect(await run(commands[1] ?? '')).toContain(refuted.trimEnd())
    await edit('globex.policy.yaml', 'who: auditors\n', 'who: auditors\n    except: order-desk\n')
    const [, added = ''] = /Add to cases of globex.policy-test.yaml: (.*)/.exec(await run(commands[1] ?? '')) ?? []
    await edit('globex.policy-test.yaml', 'cases:\n', `cases:\n  ${added}\n`)
    expect(await run(commands[1] ?? '')).toContain('8 of 8 mutants killed, 2 of 2 never proved\n')
    expect(await run(commands[2] ?? '')).toBe(gains)
    const clock = /`(npm run -s postern -- check [^`]*--at [^`]*)`/.exec(guide)?.[1] ?? ''
    expect(await run(clock)).toContain('warning W803 export-invoices ends in 7 days')
    await rm(dir, { recursive: true })
  })
})
