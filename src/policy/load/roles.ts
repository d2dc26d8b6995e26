import { rolePrefix } from '../language/names.ts'

/** The tenant that a permission role belongs to by its name, or null. */
export type RoleOwner = (role: string) => string | null

/** The longest prefix wins, so that `acme` cannot name a role of `acme-eu`. */
export const roleOwner = (tenants: Iterable<string>): RoleOwner => {
  const prefixes = new Map([...tenants].map(tenant => [rolePrefix(tenant), tenant]))
  return role => {
    for (let end = role.lastIndexOf('_'); end > 0; end = role.lastIndexOf('_', end - 1)) {
      const tenant = prefixes.get(role.slice(0, end + 1))
      if (tenant !== undefined) return tenant
    }
    return null
  }
}
