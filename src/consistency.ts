import { concreteIssuers } from './identity/issuer-entry.ts'
import type { Finding } from './model/finding.ts'
import type { Composition } from './policy/compose.ts'
import type { ReadConfig } from './settings.ts'

/**
 * Where configuration and policies are each in order and yet do not fit: everything would start, and requests would be refused for a reason
 * that nobody finds at night. Warnings, because either side may be about to follow.
 */
export const inconsistencies = (read: ReadConfig, composition: Composition): readonly Finding[] => {
  const { config } = read
  if (config === null) return []
  const found: Finding[] = []
  const warn = (key: string, code: string, message: string): void => {
    const at = read.source.position(read.provenance.get(key) ?? 0)
    found.push({ file: read.source.file, ...at, severity: 'warning', code, message })
  }
  const documents = [...composition.entries].flatMap(([tenant, { enforced }]) =>
    enforced?.policy ? [{ tenant, recognise: enforced.recognise, rules: enforced.policy.document.rules }] : [],
  )
  const hosts = documents.map(({ recognise }) => recognise?.host ?? null)
  for (const route of config.routes) {
    if (!hosts.includes(null) && !hosts.some(list => list?.includes(route.host)))
      warn(
        'routes',
        'C601',
        `no policy recognises the host ${route.host} of route ${route.name}: its requests would get 403. Compare recognise.host.`,
      )
    if (route.preflight === 'forward' && composition.engine.tenantOfHost(route.host) === null)
      warn(
        'routes',
        'C604',
        `the host ${route.host} of route ${route.name} does not belong to exactly one tenant: its preflights would get 401. Write recognise.host in every policy.`,
      )
    const delivery = config.upstreams.get(route.upstream)?.delivery ?? 'none'
    for (const { tenant, recognise, rules } of documents)
      if (delivery === 'none' && (recognise?.host?.includes(route.host) ?? false) && rules.some(rule => rule.role !== null))
        warn(
          `upstreams.${route.upstream}`,
          'C602',
          `policy ${tenant} gives roles to requests of route ${route.name}, but upstream ${route.upstream} has delivery: none: they would get 503. Write how it receives them: delivery: header.`,
        )
  }
  for (const { tenant, recognise } of documents)
    for (const issuer of config.issuers)
      if (
        recognise !== null &&
        concreteIssuers(issuer).some(one => recognise.issuer.includes(one.issuer)) &&
        !recognise.audience.some(audience => issuer.audiences.includes(audience))
      )
        warn(
          'issuers',
          'C603',
          `policy ${tenant} wants an audience of ${recognise.audience.join(', ')}, but tokens of ${issuer.issuer ?? issuer['issuer-template']} are accepted only for ${issuer.audiences.join(', ')}: its requests would get 401. Add the audience.`,
        )
  return found
}
