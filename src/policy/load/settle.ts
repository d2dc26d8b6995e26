import type { Steps } from '../../config/steps.ts'
import type { Finding } from '../../model/finding.ts'
import { rolePrefix } from '../language/names.ts'
import { type Member, overlaps, surplusClaims } from './overlap.ts'
import { type RoleOwner, roleOwner } from './roles.ts'
import { findingAt, type Version } from './version.ts'

/** One tenant on its way into a composition. */
export interface Draft {
  readonly tenant: string
  readonly onDisk: Version
  /** What is in force until now, if anything is. */
  readonly lastGood: Version | null
  /** Why the version on disk cannot come into force by itself. */
  readonly refusal: Finding | null
}

export interface Settled {
  /** What comes into force; a tenant without a good version is missing. */
  readonly enforced: ReadonlyMap<string, Version>
  readonly refusals: ReadonlyMap<string, Finding>
  /** What showed only when the files were compared. */
  readonly findings: readonly Finding[]
}

/**
 * Chooses a version for each tenant so that no two conflict. Every version on disk is tried; whoever conflicts falls
 * back to the last good version, which may conflict with other new ones, and so on. A version in force never yields to a new one.
 */
export function* settling(drafts: readonly Draft[], sharedRoles: readonly string[] | null): Steps<Settled> {
  const table = new Table(drafts, sharedRoles && new Set(sharedRoles))
  for (;;) {
    const refused = new Map([...(yield* table.overlapping()), ...(yield* table.roles())])
    if (refused.size === 0) return table.settled()
    for (const [tenant, finding] of refused) table.refuse(tenant, finding)
  }
}

class Table {
  readonly #drafts: ReadonlyMap<string, Draft>
  /** Null: the platform file is refused; which roles are shared is not known. */
  readonly #sharedRoles: ReadonlySet<string> | null
  readonly #members = new Map<string, Version>()
  readonly #refusals = new Map<string, Finding>()
  readonly #findings: Finding[] = []

  constructor(drafts: readonly Draft[], sharedRoles: ReadonlySet<string> | null) {
    this.#drafts = new Map(drafts.map(draft => [draft.tenant, draft]))
    this.#sharedRoles = sharedRoles
    for (const { tenant, onDisk, lastGood, refusal } of drafts) {
      const member = refusal === null ? onDisk : lastGood
      if (member !== null) this.#members.set(tenant, member)
      if (refusal !== null) this.#refusals.set(tenant, refusal)
    }
  }

  /** New versions whose requests could be those of another tenant. */
  *overlapping(): Steps<Map<string, Finding>> {
    const members = [...this.#members.values()].flatMap((version): Member[] =>
      version.recognise ? [{ tenant: version.tenant, recognise: version.recognise }] : [],
    )
    const isNew = (member: Member): boolean => this.#isNew(member.tenant)
    const refused = new Map<string, Finding>()
    for (const [tenant, name] of yield* surplusClaims(members, member => !isNew(member)))
      if (this.#isNew(tenant))
        this.#add(
          refused,
          tenant,
          'P601',
          `the claim ${name} would be the fifth by which tenants of one issuer are told apart; use one of the four.`,
        )
    for (const [tenant, other] of yield* overlaps(members, isNew)) {
      const there = this.#members.get(other)
      const where = there ? ` (${there.file}:${there.spots.recognise.line})` : ''
      const advice = 'Give them different hosts or issuers, or different values of one claim that both name'
      this.#add(refused, tenant, 'P601', `one request could belong to ${tenant} and to ${other}${where}. ${advice}.`)
    }
    return refused
  }

  /** Versions that name a role of somebody else, and new tenants that would take over a role in use. */
  *roles(): Steps<Map<string, Finding>> {
    const refused = new Map<string, Finding>()
    if (this.#sharedRoles === null) return refused
    // A file on disk reserves its prefix against new versions, whatever its state; only a tenant in force does so against old ones.
    const onDisk = roleOwner(this.#drafts.keys())
    const inForce = roleOwner(this.#members.keys())
    for (const [tenant, version] of this.#members) {
      const owner = this.#isNew(tenant) ? onDisk : inForce
      yield
      if (this.#allOwn(version, owner)) continue
      for (const { role } of version.policy?.document.rules ?? []) {
        if (role === null || this.#sharedRoles.has(role.name) || owner(role.name) === tenant) continue
        const taker = owner(role.name)
        if (taker === null || this.#isNew(tenant) || !this.#isNew(taker)) {
          const finding = findingAt(version.file, role.spot, 'P404', foreignRole(tenant, role.name, owner))
          if (!refused.has(tenant)) refused.set(tenant, finding)
          this.#findings.push(finding)
        } else
          this.#add(
            refused,
            taker,
            'P404',
            `${role.name}, which ${tenant} uses (${version.file}:${role.spot.line}), would become a role of ${taker}. Change that rule first.`,
            'tenant',
          )
      }
    }
    return refused
  }

  #allOwn({ tenant, policy }: Version, owner: RoleOwner): boolean {
    for (const role of policy?.roles ?? []) if (owner(role) !== tenant) return false
    return true
  }

  refuse(tenant: string, finding: Finding): void {
    const lastGood = this.#drafts.get(tenant)?.lastGood ?? null
    if (lastGood !== null && this.#isNew(tenant)) this.#members.set(tenant, lastGood)
    else this.#members.delete(tenant)
    if (!this.#refusals.has(tenant)) this.#refusals.set(tenant, finding)
  }

  settled(): Settled {
    return { enforced: this.#members, refusals: this.#refusals, findings: this.#findings }
  }

  #isNew(tenant: string): boolean {
    const member = this.#members.get(tenant)
    return member !== undefined && member.digest !== this.#drafts.get(tenant)?.lastGood?.digest
  }

  #add(to: Map<string, Finding>, tenant: string, code: string, message: string, spot: 'recognise' | 'tenant' = 'recognise'): void {
    const version = this.#members.get(tenant)
    if (version === undefined) return
    const finding = findingAt(version.file, version.spots[spot], code, message)
    if (!to.has(tenant)) to.set(tenant, finding)
    this.#findings.push(finding)
  }
}

const foreignRole = (tenant: string, role: string, owner: RoleOwner): string => {
  const other = owner(role)
  const whose = other === null ? 'belongs to no tenant' : `belongs to ${other}`
  return `${role} ${whose}; name a role that begins with ${rolePrefix(tenant)}, or have the platform file list it under shared-roles.`
}
