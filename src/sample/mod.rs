/*!
A writer of small children's stories: the text that demos, tests and benches train on.

Why not ship a file? A few megabytes of text would outweigh the rest of the repository, and a bench wants
as many bytes as it asks for. A seed and this module give the same bytes on every machine, for ever.

Why not random words? A tokenizer learns next to nothing from noise, and a model less. Here a story has a cast
that stays the same from its first line to its last. It has a plot (something is lost, feared, built,
shared...), whose steps follow from each other. The lexicon is large enough for thousands of different words.
Common words are drawn often and rare ones seldom, as in books. Plots and sentences are in grammar.txt, words
in lexicon.txt: plain text that is embedded in the program and read once.

How are the splits kept apart? By the sentence. Every line is cut into sentences, and each sentence is hashed: one
in eight belongs to validation, the others to training, whatever the seed. A sentence of the wrong split is drawn
again, first with other words and then from another template. Each of these loops has a bound; a step that finds no
sentence within it is left out of its story, so writing always ends. No sentence can be in both splits, because its
split is a function of its text alone.
*/

mod grammar;
mod lexicon;
mod mistake;
mod random;
mod spelling;
mod split;
mod story;
mod write;

pub use split::Split;
pub use story::StoryWriter;
pub use write::{END_OF_TEXT, write_file, write_sample};
