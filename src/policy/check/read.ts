import type { Check } from './ast.ts'
import { convert } from './convert.ts'
import type { CheckEnvironment, Problem } from './environment.ts'
import { unguarded } from './guards.ts'
import { type Job, typeNames } from './job.ts'
import { maxLength, sizeProblem } from './size.ts'
import { parseSyntax } from './syntax.ts'
import { readsOf } from './walk.ts'

/** Reads the text of one `check` (policy, section 7). Never throws, and its work is bounded whatever the text is. */
export const readCheck = (text: string, env: CheckEnvironment): Check | readonly Problem[] => {
  if (text.length > maxLength)
    return [{ at: 0, number: 507, message: `the expression has ${text.length} characters; at most ${maxLength} are read. Split the rule.` }]
  const syntax = parseSyntax(text)
  if ('message' in syntax) return [syntax]
  const large = sizeProblem(syntax, 'expression')
  if (large) return [large]
  const job: Job = { env, text, problems: [], convert, loops: 0 }
  const root = convert(syntax, job, null)?.expr
  // What is null without a problem was reported where it is declared.
  if (root === undefined) return job.problems
  if (root.type !== 'bool')
    return [
      { at: root.from, number: 508, message: `a check answers yes or no, but this is ${typeNames[root.type]}; compare it with something.` },
    ]
  const problems = unguarded(root, env)
  return problems.length > 0 ? problems : { text, root, reads: readsOf(root) }
}
