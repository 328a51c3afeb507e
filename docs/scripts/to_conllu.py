#!/usr/bin/env python3
"""Annotates texts by spaCy or Stanza, and writes them as CoNLL-U, which `kind = "conllu"` reads.

    pip install spacy && python -m spacy download en_core_web_sm
    python to_conllu.py en_core_web_sm < news.txt > news.conllu
    python to_conllu.py stanza:en < news.txt > news.conllu          (pip install stanza)
    python to_conllu.py blank:en < news.txt > news.conllu           (words and sentences alone: nothing to download)

A line is a document. Its words keep the spaces that they stand between, so that the text is the same again.
"""
import sys


def spacy_sentences(name):
    import spacy

    nlp = spacy.blank(name.removeprefix("blank:")) if name.startswith("blank:") else spacy.load(name)
    if not any(nlp.has_pipe(pipe) for pipe in ("parser", "senter", "sentencizer")):
        nlp.add_pipe("sentencizer")
    for doc in nlp.pipe(line.strip() for line in sys.stdin if line.strip()):
        yield [
            [(t.text, t.lemma_, t.pos_, t.tag_, str(t.morph), t.dep_, bool(t.whitespace_)) for t in sentence if not t.is_space]
            for sentence in doc.sents
        ]


def stanza_sentences(language):
    import stanza

    nlp = stanza.Pipeline(language, processors="tokenize,pos,lemma,depparse")
    for line in sys.stdin:
        if line.strip():
            text = line.strip()
            sentences = nlp(text).sentences
            yield [[word(token, text) for token in sentence.tokens] for sentence in sentences]


def word(token, text):
    """A token of Stanza. What it takes apart (French `du`) is one word here, with the values of its parts."""
    columns = [[w.lemma, w.upos, w.xpos, w.feats, w.deprel] for w in token.words]
    values = ["+".join(value or "_" for value in column) for column in zip(*columns)]
    return (token.text, *values, text[token.end_char : token.end_char + 1].isspace())


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    name = sys.argv[1]
    documents = stanza_sentences(name.removeprefix("stanza:")) if name.startswith("stanza:") else spacy_sentences(name)
    for number, sentences in enumerate(documents, 1):
        print(f"# newdoc id = {number}")
        for words in filter(None, sentences):
            for index, (form, lemma, upos, xpos, feats, deprel, space) in enumerate(words, 1):
                values = [str(index), form, lemma, upos, xpos, feats, "_", deprel, "_", "_" if space else "SpaceAfter=No"]
                print("\t".join(value or "_" for value in values))
            print()


main()
