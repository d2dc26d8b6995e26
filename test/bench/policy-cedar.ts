import {
  type AuthorizationAnswer,
  preparsePolicySet,
  type StatefulAuthorizationCall,
  statefulIsAuthorized,
} from '@cedar-policy/cedar-wasm/nodejs'
import type { PolicyEngine } from '../../src/model/decision.ts'
import { cedarText, factsOf, type Question, questionsOf, tenantName, type World } from './policy-world.ts'

/** Tenants that Cedar is given: it looks a policy set up by its name, so more of them would change nothing but the start. */
const mostTenants = 20
const samples = 200

/** Cedar with the same rules, parsed beforehand. */
export interface Peer {
  readonly questions: readonly Question[]
  ask(number: number): boolean
}

export const loadCedar = (world: World, check: boolean): Peer => {
  const tenants = Math.min(world.tenants, mostTenants)
  const setOf = (tenant: string): string => `${world.name} ${tenant}`
  for (let i = 0; i < tenants; i++) {
    const tenant = tenantName(i)
    const answer = preparsePolicySet(setOf(tenant), { staticPolicies: cedarText(tenant, world.rules, check) })
    if (answer.type === 'failure') throw new Error(`Cedar: ${answer.errors[0]?.message}`)
  }
  const questions = questionsOf(world, samples, 'even', tenants)
  const calls = questions.map(({ tenant, call }) => ({ ...call, preparsedPolicySetId: setOf(tenant) }) as StatefulAuthorizationCall)
  return {
    questions,
    ask(number) {
      const call = calls[number % calls.length]
      if (call === undefined) throw new Error('nothing to ask')
      return isAllowed(statefulIsAuthorized(call))
    },
  }
}

const isAllowed = (answer: AuthorizationAnswer): boolean => {
  if (answer.type === 'failure') throw new Error(`Cedar: ${answer.errors[0]?.message}`)
  const [error] = answer.response.diagnostics.errors
  if (error !== undefined) throw new Error(`Cedar: ${error.error.message}`)
  return answer.response.decision === 'allow'
}

/** Two engines that answer differently would not have done the same work. */
export const agree = (engine: PolicyEngine, { questions, ask }: Peer, { name }: World): void => {
  let allowed = 0
  for (const [number, question] of questions.entries()) {
    const own = engine.decide(factsOf(question)).effect === 'allow'
    if (own !== ask(number)) throw new Error(`${name}: Cedar and Postern differ on ${question.target} of ${question.identity.subject}`)
    if (own) allowed++
  }
  if (allowed === 0 || allowed === questions.length) throw new Error(`${name}: every answer is the same`)
}
