/** A stretch of the expression's text, in UTF-16 units from its start. */
interface Span {
  readonly from: number
  readonly to: number
}

export type CheckType = 'string' | 'number' | 'bool' | 'list<string>' | 'list<number>'

/** What a value may be read from. `path` variables, declared `claims`, `query` parameters and `header` fields have names. */
export type Holder = 'claims' | 'path' | 'query' | 'header'

/** One expression of the subset (policy 7), typed. `has` also stands for `'x' in header` and `'x' in query`. */
export type Expr = Span & { readonly type: CheckType } & (
    | { readonly kind: 'literal'; readonly value: string | number | boolean }
    | { readonly kind: 'list'; readonly items: readonly Expr[] }
    | { readonly kind: 'read'; readonly of: Holder; readonly name: string }
    | { readonly kind: 'fact'; readonly name: 'method' | 'subject' | 'scopes' }
    | { readonly kind: 'local'; readonly name: string }
    | { readonly kind: 'has'; readonly of: Exclude<Holder, 'path'>; readonly name: string }
    | { readonly kind: 'not'; readonly operand: Expr }
    | { readonly kind: 'and' | 'or'; readonly left: Expr; readonly right: Expr }
    | { readonly kind: 'compare'; readonly op: '==' | '!=' | '<' | '<=' | '>' | '>='; readonly left: Expr; readonly right: Expr }
    | { readonly kind: 'in'; readonly item: Expr; readonly list: Expr }
    | { readonly kind: 'join'; readonly left: Expr; readonly right: Expr }
    | { readonly kind: 'size'; readonly of: Expr }
    | { readonly kind: 'text'; readonly op: 'startsWith' | 'endsWith' | 'contains'; readonly subject: Expr; readonly part: Expr }
    | { readonly kind: 'pattern'; readonly op: 'glob' | 're'; readonly subject: Expr; readonly pattern: string }
    | { readonly kind: 'loop'; readonly op: 'exists' | 'all'; readonly list: Expr; readonly name: string; readonly body: Expr }
  )

/** One `when.check`, read and typed. */
export interface Check {
  readonly text: string
  readonly root: Expr
  /** Everything it reads, each name once, sorted. */
  readonly reads: {
    readonly claims: readonly string[]
    readonly path: readonly string[]
    readonly query: readonly string[]
    readonly header: readonly string[]
    readonly facts: readonly ('method' | 'subject' | 'scopes')[]
  }
}
