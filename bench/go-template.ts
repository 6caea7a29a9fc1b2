// As much of Go's text/template as Istio's benchmark inputs use: range over until, div, mod, and variables.

type Values = Readonly<Record<string, number>>;

/** Fills a template in. Throws on anything else than what the first line of this file says. */
export function fillTemplate(template: string, values: Values): string {
  const tokens = tokensOf(template);
  const { text, next } = fillBlock(tokens, 0, values);
  if (next !== tokens.length) throw new Error('an {{end}} without {{range}}');
  return text;
}

type Token = { readonly text: string } | { readonly action: string };

function tokensOf(template: string): readonly Token[] {
  const tokens: Token[] = [];
  let at = 0;
  let trimNext = false;
  for (const match of template.matchAll(/\{\{(-?)\s*(.*?)\s*(-?)\}\}/gs)) {
    const [whole, trimBefore, action = '', trimAfter] = match;
    let text = template.slice(at, match.index);
    if (trimNext) text = text.trimStart();
    if (trimBefore === '-') text = text.trimEnd();
    tokens.push({ text }, { action });
    trimNext = trimAfter === '-';
    at = match.index + whole.length;
  }
  tokens.push({ text: trimNext ? template.slice(at).trimStart() : template.slice(at) });
  return tokens;
}

/** Up to the end of the block that begins at `from`; `next` is the place of its {{end}}. */
function fillBlock(tokens: readonly Token[], from: number, values: Values): { text: string; next: number } {
  let text = '';
  let at = from;
  while (at < tokens.length) {
    const token = tokens[at];
    if (token === undefined) break;
    if ('text' in token) {
      text += token.text;
      at += 1;
      continue;
    }
    if (token.action === 'end') return { text, next: at };
    const range = /^range\s+(\$\w+)\s*:=\s*until\s+(\S+)$/.exec(token.action);
    if (range === null) {
      text += String(evaluate(token.action, values));
      at += 1;
      continue;
    }
    const [, variable = '', count = ''] = range;
    let { next } = fillBlock(tokens, at + 1, { ...values, [variable]: 0 });
    for (let index = 0; index < evaluate(count, values); index += 1) {
      const block = fillBlock(tokens, at + 1, { ...values, [variable]: index });
      text += block.text;
      next = block.next;
    }
    at = next + 1;
  }
  return { text, next: at };
}

function evaluate(expression: string, values: Values): number {
  const [head = '', ...rest] = expression.split(/\s+/);
  const [left = 0, right = 1] = rest.map((each) => evaluate(each, values));
  if (head === 'div') return Math.floor(left / right);
  if (head === 'mod') return left % right;
  // `$.Services` is the outermost `.Services`.
  const value = /^\d+$/.test(head) ? Number(head) : values[head.replace(/^\$(?=\.)/, '')];
  if (value === undefined || rest.length > 0) throw new Error(`{{${expression}}} is not known here`);
  return value;
}
