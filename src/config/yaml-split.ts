// Cuts a text of several YAML documents at its document markers, which YAML allows nowhere else.

export interface DocumentChunk {
  readonly text: string;
  /** Counted from 1. */
  readonly firstLine: number;
  /** Where `text` begins in the whole. */
  readonly offset: number;
}

/** The documents of a text; chunks of comments and blank lines alone are left out. Stops after `chunksMax`. */
export function splitDocuments(text: string, chunksMax: number): DocumentChunk[] {
  const chunks: DocumentChunk[] = [];
  const add = (start: number, end: number, firstLine: number): void => {
    const chunk = text.slice(start, end);
    if (!isBlank(chunk)) chunks.push({ text: chunk, firstLine, offset: start });
  };
  let start = 0;
  let firstLine = 1;
  let line = 1;
  let counted = 0;
  // Only what follows the beginning or `...`: behind `---` a `%` is content.
  let mayBeDirectives = true;
  // `---` starts a document and `...` ends one, at the start of a line and before a space or its end.
  for (const marker of text.matchAll(/^(?:---|\.\.\.)(?=[ \t\r\n]|$)/gm)) {
    for (
      let at = text.indexOf('\n', counted);
      at >= 0 && at < marker.index;
      at = text.indexOf('\n', at + 1)
    ) {
      line++;
      counted = at + 1;
    }
    const isDirectivesEnd =
      marker[0] === '---' && mayBeDirectives && isDirectives(text.slice(start, marker.index));
    // What stands before a document is asked once: a file of markers must not be read again for each of them.
    mayBeDirectives = marker[0] !== '---';
    // Directives (%YAML) belong to the document after them.
    if (isDirectivesEnd) continue;
    add(start, marker.index, firstLine);
    if (chunks.length >= chunksMax) return chunks;
    start = marker[0] === '---' ? marker.index : marker.index + 3;
    firstLine = line;
  }
  add(start, text.length, firstLine);
  return chunks;
}

function isBlank(chunk: string): boolean {
  const at = firstContent(chunk, chunk.startsWith('---') ? 3 : 0);
  return at >= chunk.length;
}

/** Whether the first thing here, comments aside, is a directive. */
function isDirectives(chunk: string): boolean {
  return chunk[firstContent(chunk, 0)] === '%';
}

/** Where the content of a chunk begins: behind its marker, blanks and comments. */
export function contentOffset(chunk: string): number {
  return firstContent(chunk, chunk.startsWith('---') ? 3 : 0);
}

/** Where the first character stands that is neither space nor comment. */
function firstContent(text: string, from: number): number {
  const content = /[^ \t\r\n]/g;
  content.lastIndex = from;
  for (let match = content.exec(text); match !== null; match = content.exec(text)) {
    if (match[0] !== '#') return match.index;
    const end = text.indexOf('\n', match.index);
    if (end < 0) break;
    content.lastIndex = end + 1;
  }
  return text.length;
}
