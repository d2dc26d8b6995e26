import { describe, expect, it } from 'vitest'
import { junit } from '../../../src/policy/tools/junit.ts'

describe('JUnit', () => {
  it('counts, names each rule and mutant, and escapes what XML cannot carry', () => {
    const spot = { line: 3, column: 5 }
    const draft = { file: 't', request: null, case: '- { ask: a b }' }
    const mutation = {
      file: 'acme.policy.yaml',
      counted: 2,
      killed: 1,
      mutants: [
        { what: 'r.except', spot, counted: true, killer: { file: 't', spot }, draft: null },
        { what: 'r', spot, counted: true, killer: null, draft },
        { what: 'r.when.query.x', spot, counted: false, killer: null, draft: null },
      ],
    }
    const never = [
      { file: 't', text: 'bots ANY /**', finding: null },
      { file: 't', text: 'bots GET /a', finding: { file: 't', ...spot, severity: 'error', code: 'P706', message: 'is allowed' } as const },
    ]
    const report = { tenant: 'acme', cases: [], never, rules: ['r', 's'], covered: new Set(['r']), mutation }
    const bad = { file: '<a>&"\'\u001b[2J\ud800\u202e', ...spot, severity: 'error', code: 'P1', message: 'm\ufffe' } as const
    const text = junit([{ ...report, judged: { rules: true, mutants: true } }], [bad, { ...bad, severity: 'warning' }])
    expect(text).toBe(`<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="7" failures="4" errors="0" skipped="0" time="0">
  <testsuite name="check" tests="1" failures="1" errors="0" skipped="0" time="0">
    <testcase classname="check" name="P1 &lt;a&gt;&amp;&quot;&apos;\ufffd[2J\ufffd\ufffd:3:5" time="0">
      <failure message="&lt;a&gt;&amp;&quot;&apos;\ufffd[2J\ufffd\ufffd:3:5 error P1 m\ufffd"/>
    </testcase>
  </testsuite>
  <testsuite name="acme: never" tests="2" failures="1" errors="0" skipped="0" time="0">
    <testcase classname="acme: never" name="bots ANY /**" time="0"/>
    <testcase classname="acme: never" name="bots GET /a" time="0">
      <failure message="t:3:5 error P706 is allowed"/>
    </testcase>
  </testsuite>
  <testsuite name="acme: rules" tests="2" failures="1" errors="0" skipped="0" time="0">
    <testcase classname="acme: rules" name="r decides an expectation" time="0"/>
    <testcase classname="acme: rules" name="s decides an expectation" time="0">
      <failure message="no expectation is decided by s"/>
    </testcase>
  </testsuite>
  <testsuite name="acme: mutants" tests="2" failures="1" errors="0" skipped="0" time="0">
    <testcase classname="acme: mutants" name="an expectation notices if r.except is gone" time="0"/>
    <testcase classname="acme: mutants" name="an expectation notices if r is gone" time="0">
      <failure message="acme.policy.yaml:3:5 nothing notices; add to cases: - { ask: a b }"/>
    </testcase>
  </testsuite>
</testsuites>
`)
    expect(junit([{ ...report, judged: { rules: false, mutants: false } }], [])).toContain('<testsuites tests="7" failures="1"')
  })
})
