import { performance } from 'node:perf_hooks'
import { compose } from '../../src/policy/compose.ts'
import { hostileMeaning, hostileYaml } from './hostile.ts'
import { platformPolicy } from './platform-policy.ts'

/**
 * Loads hostile files one after the other and says, a line each, how that went: a process of its own, so that its end is one, and its memory is
 * bounded from outside.
 */
const sets = { yaml: hostileYaml, meaning: hostileMeaning }
const set = sets[process.argv[2] as keyof typeof sets]
const platform = { name: '_platform.policy.yaml', bytes: Buffer.from(platformPolicy) }

for (const [name, make] of Object.entries(set)) {
  process.stdout.write(`${JSON.stringify({ begins: name })}\n`)
  const file = { name: 'acme.policy.yaml', bytes: Buffer.from(make()) }
  const began = performance.now()
  const { composition, findings } = compose([platform, file], null, { issuers: null, testsGateReload: true, now: 0 })
  const state = composition?.engine.tenants[0]?.state
  const codes = [...new Set(findings.map(({ code }) => code))]
  const odd = findings.filter(({ message, line, column }) => /\n/.test(message) || message.length > 2000 || line < 0 || column < 0).length
  process.stdout.write(
    `${JSON.stringify({ name, ms: Math.round(performance.now() - began), state, codes, findings: findings.length, odd })}\n`,
  )
}
