//! What the stories are made of. A line is a template, except that `%name = ...` defines a shorthand, `=name`
//! opens a pool of templates, `# X=class ...` opens a plot with its cast, `:` opens a step of the plot (`:?` one
//! that is left out half the time, `:title` a title), `@name` is a step that draws from a pool (`@name?` likewise)
//! and `/` begins a paragraph. In a template `[x|y]` is a choice, `~` a line break, `{a}` an article,
//! `{class:form}` a word of the lexicon, `{X=class}` one that is remembered as `{X}`, and `{X:his}` a pronoun
//! (of the hero when no letter is given).

pub const GRAMMAR: &str = r#"
%day = [One day|One {sky} {time}|On {a} {sky} {month} {time}|One {time} in {month}|On {weekday} {time}|One {sky} {season} day]
%next = [The next {time}|The next day|On {weekday}|Two days later|Soon|A little later|That very {time}|Before long|When {weekday} came|After {number} days]
%how = [{manner:ly}|{manner:ly}|in {a} {voice} voice|with {a} {grin} smile]
%low = [{glum:ly}|in {a} {faint} voice|in {a} {faint}, {faint} voice|with a sigh|with {a} {blue} face]
%said = [said|said|said|{say:d}]
%angry = [angrily|crossly|hotly|sharply|{glum:ly}|in {a} {loudness} voice|with {a} [red|hot|dark|cross|stern] face|and threw down {a} {toy}|and kicked {a} {natural}]
%reply = [said|said|answered|replied]
%where = [in|near|outside|on the edge of|not far from|just outside] {T}

=open
Once upon a time, in {a} {place} [town|village] called {T}, there [was|lived] {a} {trait} {lad} named {H}.
Once there was {a} {trait} and {trait} {lad} named {H}, who lived near the {building} in {T}.
{H} was {a} {trait} {lad} who lived in {a} {looks} [house|cottage] on {^tree} [Street|Lane|Road] in {T}.
In the [town|village] of {T}, at number {house} {^tree} [Street|Lane|Road], lived {a} {trait} {lad} named {H}.
There was once {a} {age}-year-old {lad} named {H}, who was as {trait} as {he} was {trait}.
Long ago, when {T} was only {a} {place} village, {a} {trait} {lad} named {H} lived [beside|near|behind] the {building}.
{H} lived in {T} with {his} [mother|father|family|grandparents], {his} {farm} and [two|three|four|five|{number}] {bird:s}.
In {T}, between {a} {place} {outdoors} and {a} {place} {outdoors}, there lived {a} {trait} {lad} named {H}.
Everyone in {T} knew {H}, the {trait} {lad} with the {hue} {wear}.
{H} was the {heir} of {a} {job} in {T}, and {he} was {a} {trait} child.

=openpet
Once upon a time, {a} {small} {S} named {H} lived %where, in {a} {place} {habitat}.
In {a} {place} {habitat}, under {a} {size} {tree}, there lived {a} {trait} {S} named {H}.
Deep in {a} {place} forest near {T}, {a} {trait} {S} named {H} had a home among the {tree:s}.
{H} was {a} {trait} little {S} with {a} {hue} {wear}, and {he} lived beside {a} {place} {outdoors}.
Long ago, before there were any [houses|roads|people] in {T}, {a} {trait} {S} named {H} lived under the {tree:s}.
There was once {a} {trait} {S} named {H}, who had {number} [brothers|sisters|cousins] and {a} {looks} {furniture} of {his} own.
Where the {flower:s} grow, not far from {T}, lived {a} {small} and {trait} {S} called {H}.

=love
{he} loved to [{make} {craft:s}|{make} {craft:s} out of {stuff}|watch the {bird:s}|play the {instrument}|read about {sea:s} and {animal:s}|draw {flyer:s} and {flower:s}|collect {natural:s} and {natural:s}] [after school|every {time}|with {his} {kin}|in the {season}|on {weekday}s].
{he} liked {treat:s}, {colour} {wear:s} and [stories about {creature:s}|songs about {animal:s}|games of {game}].
Every {time} {he} [{move:d} to the {outdoors}|played {game}|practiced the {instrument}|helped the {job}|fed the {farm:s}|looked for {natural:s}] [with {his} {kin}|when the weather was {sky}|all through the {season}|and was never bored].
At school {he} was best at {subject}, but what {he} liked most was [{game}|the {instrument}|making {craft:s} from {stuff}|telling {story:s} about {creature:s}].
Most of all {he} liked {a} {story} about {a} {creature} and {a} {trait} {animal}.
On {his} {furniture} {he} kept {a} {looks} {container} full of {natural:s} and {natural:s}.
When {he} grew up, {he} wanted to be {a} {job} or perhaps {a} {job}.
{he} could {roam} like {a} {animal} and sing like {a} {bird}.
In {his} [room|bedroom] there were {count} {toy:s} and one {fine} {keepsake} that {he} loved [best|most] of all.

{his} favorite book was called The {^trait} {^animal} and the {^quality} {^thing}, and {his} {kin} had read it {count} times.
{his} {kin} had once sailed on a ship called the {^colour} {^bird}, all the way to {city} and {city}.
Above {his} bed hung {a} picture of {city}, and beside it {a} postcard from {city} with {a} {colour} {animal} on it.
{he} could say hello in {language} and thank you in {language}, and {he} could dance the {dance}.
{his} {kin} came from {city} and sang to {him} in {language} every {time}.
On clear nights {he} looked for {planet} and {planet}, and {he} gave the other stars names like {^looks} {^tool} and {^taste} {^treat}.
{his} family ate at an inn called The {^looks} {^animal}, where {a} {job} played the {instrument} and people danced the {dance}.
{he} was writing a book of {his} own called The {^looks} {^building} of the {^trait} {^job}, and {he} had drawn {sight:s} and {sight:s} for it.
{he} knew a song called The {^trait} {^bird} and the {^flower}, and {he} sang it while {he} watered the {flower:s}.
{his} favorite game was one that {he} had made up, and it was called {^fruit} and {^veg}.
On the door of {his} room hung a sign that said, "The {^looks} {^container} Club."
"My {kin} {make:s} {craft:s} out of {stuff}," {H} liked to say, "and my {kin} {clean:s} {a} {building}."
"When I am big," {he} used to say, "I will {toil} like {a} {job}, {move} up every {sight} and {roam} like {a} {animal}."
{his} {kin} often said, "That child {smile:s} and {move:s} all day, and {sob:s} only when the {treat:s} are gone."
{H} could tell from the sound when {a} {bird} {birdact:s}, when {a} {flyer} {flyact:s} and when the wind {wind:s}.
{H} had {a} {sea} in {a} glass bowl, and {he} knew how {a} {sea} {seaact:s}, how {a} {bug} {bugact:s} and how {a} {bird} {soar:s}.
"{a} good {job} {toil:s} and never {sob:s}," {his} {kin} used to tell {him}.
"{a} {lad} who {help:s} others and {keep:s} {his} {keepsake:s} is never poor," {his} {kin} used to say.
In {his} dreams {he} saw {sight:s}, {sight:s} and {a} {creature} on {a} {colour} {vehicle}.
"My {kin} {cook:s} the best {treat:s} in {T}," {he} told everyone, "and {chop:s} the {veg:s} like {a} {job}."
In the {season} the {plant:s} {sprout}, and {H} liked to see how each {flower} {sprout:s} and {plantact:s}.
{H} knew a rhyme that began, "One {animal} {roam:s}, two {animal:s} {roam}, and the moon {shine:s} on them all."
{he} loved to watch the stars {shine}, to hear the wind {wind}, and to see the {tree:s} {plantact}.
"Listen to the {bird:s} {birdact}," {his} {kin} used to say, "and watch them {soar} over the {building}."
{he} could sit by the {outdoors} all {time} to watch the {flyer:s} {flyact} and the {sea:s} {seaact}.
{he} could make {his} {kin} {smile} by {roam:g} around the {furniture} like {a} {animal}.
"Never {shout} in the {building}, and never {sob} over {a} {treat}," {his} {kin} often said, "but {say} it {manner:ly}."
{he} would {keep} every {natural} and {look} at every {bug}, and {his} {kin} was always {make:g} {craft:s}.
{he} liked to {eat} {fruit:s} with {taste} {mass}, and {he} could {chop} {number} {veg:s} in {many} seconds.
{he} knew how to {chop} {veg:s}, how to {cook} {a} {treat} and how to {mend} {a} {pair}.

=lovepet
{he} loved to {move} [through the {outdoors}|around the {outdoors}|among the {flower:s}|under the {tree:s}] with the other {animal:s}.
Every {time} {he} [ate {fruit:s} and {fruit:s}|counted the {flower:s}|listened to the {bird:s}|said good {time} to the {bird:s}] [by the {outdoors}|under {a} {tree}|before breakfast].
{he} slept in a [bed|nest] of {natural:s} and {stuff}, and {he} dreamed of {fruit:s}.
{he} kept {count} {natural:s} in {a} {looks} {container}.
The {bird:s} sang for {him} in the {season}, and the {bug:s} were {his} neighbors.

=scene
The {bird:s} were {birdact:g} in the {tree:s}, and the {flyer:s} {flyact:d} [over|around|among] the {flower:s}.
The {farm:s} were {animalact:g} in the {habitat}, and {sound}.
It was {a} {sky} {time}, and the {flower:s} {plantact:d} in the {season} air.
{flyer:s} {flyact:d} {where}, {sound}, and {a} {bird} {soar:d} above the {building}.
The sky was [clear|wide|high|bright|deep|pale] and {colour}, and the {tree:s} {plantact:d} in the wind.
{bird:s} {soar:d} over the {building}, and {a} {bug} {bugact:d} along the {furniture} by the door.
The {outdoors} smelled of {flower:s} and {taste} {mass}.
Down by the {outdoors}, {a} {job} was {clean:g} {a} {looks} {vehicle}.
Under the {tree:s} {number} {animal:s} {animalact:d}, and {sound}.

=town
The {job} was {clean:g} the {building}, and the {job} {smile:d} at everyone who {move:d} by.
On {^tree} [Street|Lane|Road] {a} {vehicle} stood in front of the {building}, and {sound}.
At the market there were {fruit:s}, {veg:s} and {taste} {treat:s}, and {a} {job} sold {colour} {wear:s}.
{job:s} and {job:s} {move:d} past, and {a} {colour} {vehicle} stopped beside the {building}.
The clock on the {building} struck {number}, and {a} {size} {vehicle} rolled by.
Behind the {building}, {number} children were playing {game}.
In the window of the shop lay {a} {looks} {instrument}, {a} {hue} {wear} and {number} {pair:s}.

=sad
{H} felt {blue} and {blue}.
{H} felt so {blue} that {he} wanted to {sob}.
{he} {sob:d}, and {his} {limb:s} trembled a little.
{H} sat down on {a} {natural} and {sob:d} {glum:ly}.
{glum:ly}, {H} {sob:d} and {look:d} at {his} {limb:s}.
{he} was too {blue} to eat even one {treat}.
Poor {H} was {blue}, and not even {a} {taste} {treat} could help.

=glad
{H} was so {glad} that {he} {smile:d} and {move:d} {where}.
{he} had never felt so {glad} and so {glad}.
{H} {smile:d} {manner:ly}, and {his} heart felt as [light|warm|bright] as {a} {sky} {season} {time}.
{H} felt as {glad} as {a} {bird} in {season}.
{he} [smiled|grinned|beamed] from ear to ear and felt {glad}.

=meal
Then they sat down to {taste} {mass}, {veg:s} and {a} {cup} of {drink}.
Afterwards there were {taste} {treat:s} and {drink} for everyone.
They shared {a} {taste} {treat} and {number} {fruit:s}, and they drank {drink} from {looks} {cup:s}.
For supper there was {mass} with {veg:s}, and then {a} {size} {vessel} of {fruit:s}.
{H} {chop:d} {fruit:s}, {E} {chop:d} {veg:s}, and soon there was {taste} {mass} for all of them.
To celebrate, they {eat:d} {taste} {treat:s} and told {story:s} until [bedtime|nine o'clock|the stars came out].
{H} {eat:d} {number} {treat:s}, and nobody minded at all.

=friends
From that day on, {H} and {F} played {game} together every {weekday}.
After that, {H} and {F} were always together, at the {outdoors} or at the {building}.
{H} and {F} stayed friends, and every {season} they {cook:d} {taste} {treat:s} together.
Many years later, {H} became {a} {job} and {F} became {a} {job}, but they never forgot that {sky} {time}.
And whenever {H} saw {a} {natural}, {he} thought of {F} and {smile:d}.
Ever since, {F} has been {H}'s {better:est} and most {trait} friend.

=night
That night {H} slept [soundly|peacefully|deeply|quietly|well] and dreamed of {a} {colour} {animal} and {a} {trait} {creature}.
When the stars {shine:d} over {T}, {H} was already asleep, with {a} {grin} smile on {his} face.
At bedtime {E} read {a} {story} about {a} {animal}, and {H} fell asleep before the end.
That night the moon {shine:d} on the {building}, and {H} dreamed of {sight:s} and {sight:s}.
"It was {a} {nice} day," {H} %said at bedtime, and {E} {smile:d} {manner:ly}.
"Good night, {H}," %said {E} %how, and blew out the {colour} candle.

"Tomorrow we will {cook} {treat:s} and {clean} the {room}," %said {E} %how, and {H} {smile:d}.
"When you grow up," %said {E} at bedtime, "you may {make} {craft:s}, {mend} {vehicle:s} or {help} {a} {job}."
"Do you know what {a} {animal} does at night?" asked {E} %how.~"It {animalact:s}, and it {animalact:s}, and it dreams of {sight:s}," %reply {H} %how.

=hush
For a while they {look:d} at the {outdoors} and said nothing.
Somewhere {a} {bird} {birdact:d}.
Far away, {sound}.
In the {habitat}, {a} {animal} stopped to listen.
{a} {sky} wind {wind:d} around the {building}.

# H=child F=child E=kin O=thing C=hue T=town U=under Q=under P=outdoors
:title
The Lost {O}
{H} and the {C} {O}
{H} Loses {a} {O}
Where Is the {C} {O}
The {C} {O} of {T}
@open @love?
:
{H} had {a} {C} {O}, a gift from {his} {kin}, and {he} {keep:d} it every {time}.
For {his} birthday, {E} had given {him} {a} {C} {O}, and {he} took it everywhere, even to the {outdoors}.
{his} best treasure was {a} {C} {O} that {he} kept in {a} {looks} {container}.
Of all {his} things, {he} loved {his} {C} {O} the most, even more than {his} {toy} and {his} {wear}.
/
:
%day, {H} looked in the {container}, but the {O} was gone.
%day, after a game of {game}, {H} saw that {his} {O} was missing.
%day, {H} came home from the {outdoors} and could not find {his} {O}.
%day, {H} put {his} hand in {his} pocket, and there was no {O}.
@sad
:
{he} looked under the {furniture} and behind the {furniture}, but all {he} found was {a} {looks} {pair} and {a} {natural}.
{manner:ly}, {he} searched the {room} and the {room}, and found only {number} {natural:s} and {a} {pair}.
{he} emptied the {container} and the {container}, and out fell {natural:s}, {pair:s} and {a} {looks} {toy}, but no {O}.
/
:
"What is the matter?" asked {F} %how.~"I have lost my {O}," %reply {H} %low.
{F} came by with {a} {vehicle} and asked {manner:ly}, "Why do you look so {blue}, {H}?"~"My {C} {O} is gone," %said {H} %low.
"I can't find my {C} {O}," {H} told {F} %low, "and I have looked in the {room} and in the {room}."
:
"Don't worry," %said {F} %how, "for two pairs of eyes are [sharper|quicker|better|keener|brighter] than one."
"I will help you," %said {F} %how. "We can begin {Q}, and then we will try the {outdoors}."
"When did you see it last?" asked {F} %how.~"I had it at the {P}," %reply {H} %low, "when I was {look:g} at the {bird:s}."
/
:
They looked {Q}, and they asked the {job} and the {job}, but nobody had seen {a} {C} {O}.
First they {move:d} to the {P}, where {number} {animal:s} were {animalact:g}, but the {O} was not there.
Together they {move:d} all the way to the {P} and back, and they looked behind every {tree} and {natural}.
:
Then {F} saw something {shine:g} {U}, next to {a} {looks} {container}.
At last {F} pointed {U}, where something {shine:d} beside {a} {natural}.
Just then {a} {bird} {birdact:d} {manner:ly}, and {F} turned and looked {U}.
:
It was the {O}, and beside it lay {number} {natural:s}.
There lay the {O}, {a} little [dusty|wet|muddy|dirty|bent|scratched] but safe and sound.
"Look, there it is!" {shout:d} {F} %how. The {O} was [safe|a little dusty|as good as new], and so was {a} {looks} {pair} that lay next to it.
/
@glad @meal?
:
"Thank you, {F}," %said {H} %how. "A friend who {help:s} is better than {count} {toy:s}."
{he} thanked {F} {manner:ly} and gave {F:him} {a} {taste} {treat}.
After that, {H} always put the {O} back in its {looks} {container} before {he} went to [bed|school|the {outdoors}].
@friends?
@night?

# H=child E=kin X=baby T=town J=job P=outdoors
:title
{H} and the {small} {X}
The {X} in the {outdoors}
A Friend for the {X}
The {trait} {lad} and the {X}
@open @love?
/
:
%day, {H} {move:d} to the {P} to look for {natural:s}.
%day, {H} was on the way to the {P} with {a} {vessel} of {fruit:s} for {E}.
%day, {H} was {move:g} past the {building} near the {P}.
@scene?
:
Suddenly {he} heard {a} {loudness}, {loudness} cry from behind {a} {tree}.
{he} heard {a} {loudness} sound and saw that something {small} was moving in the {plant:s}.
Then, between two {natural:s}, {he} saw {a} pair of {colour} eyes.
:
It was {a} {small} {X}, and its foot was caught in {a} {looks} [net|fence|rope|can|chain|basket|box|bucket].
There sat {a} {small} {coat} {X}, and it was wet, cold and {afraid}.
In the {plant:s} lay {a} {small} {X}, with {a} thorn in its foot, too {afraid} to move.
/
:
"Oh, you poor {X}!" {shout:d} {H} %how.
"Don't be {afraid}, little {X}," {H} %said %how.
"Where is your mother?" {H} asked {manner:ly}, but the {X} only {look:d} at {him} and trembled.
:
{he} took off {his} {hue} {wear}, wrapped it around the {X} and carried it to {E}.
{manner:ly}, {he} lifted the {X} into {his} {container} and {move:d} home to {E} as fast as {he} could.
{he} held the {X} close under {his} {hue} {wear} and {move:d} home to {E}, past the {building} and the {building}.
:
"Can you help it?" {he} asked {E} %low.
"May I keep it until it is well?" {H} asked {manner:ly}.
"Look what I found by the {P}," {he} %said %how.
:
{E} {smile:d} and said, "First it needs {a} warm {container}, some {drink} and {a} {voice} voice."
"We will ask the {J}," %said {E} %how. "{H} dear, bring the {looks} {container} and some {stuff}."
{E} washed the {X} {manner:ly} and told {H} to make a bed out of {stuff} and {natural:s}.
/
:
All that week {H} {keep:d} the {X}, fed it with {a} {looks} [spoon|bottle|teacup|teaspoon|ladle] and told it {story:s} about {animal:s}.
For {number} days {H} sat beside the {X}, and every {time} {he} gave it {fruit:s} and {drink}.
Every {time} {H} {move:d} to the little bed to see the {X}, and every {time} it was {a} little {better:er}.
:
By {weekday} the {X} could play and {move} around the {furniture}.
On {weekday} the {X} {move:d} {where}, and it was {better:er} and {better:er} every day.
%next the {X} was well, and it {move:d} {manner:ly} from the {room} to the {room}.
:
Then {H} carried it back to the {P}, where its mother was {animalact:g} under {a} {tree}.
So {H} and {E} {move:d} back to the {P}, and behind {a} {tree} the mother of the {X} was waiting.
It was time to go home, and at the {P}, beside the {tree:s}, the {X} saw its mother and {move:d} to her.
@hush?
/
:
"Goodbye, little {X}," %said {H} %how. {he} was {blue} and {glad} at the same time.
{H} felt {blue} for a moment, but {he} knew that {a} {X} needs its mother more than {a} {looks} {container}.
"You did {a} {nice} thing," {E} %said %how, "for even the [smallest|littlest|tiniest|weakest|shyest] of us needs {a} {trait} friend."
:?
Sometimes, in the {season}, the {X} came back and left {a} {natural} or {a} {fruit} at the door.
Every {season} after that, {H} found {a} {colour} {natural} on the {furniture} by the door.
@night?

# H=child F=child E=kin K=fear T=town P=outdoors
:title
{H} and {K}
{H} Is Not Afraid
How {H} Became Brave
The {trait} Heart of {H}
@open @love?
:
There was only one thing that made {him} feel {afraid}, and that was {K}.
But {H} had a secret, for {he} was [afraid|scared|frightened|terrified] of {K}.
{he} was {trait} and {trait}, but {K} made {his} {limb:s} tremble.
/
:
%day, {F} came to the door with {a} {container} and said, "Come with me to the {P}, {H}."
%day, the whole class went to the {P}, and {F} {move:d} ahead, as {glad} as {a} {bird}.
%day, {F} asked {H} to come to the {event} at the {P}.
:
{H} thought of {K}, and {his} {body} felt cold.
Then {H} remembered {K}, and {he} felt {afraid} and {blue}.
"I can't," {H} %said %low. "I have to {clean} the {room} and {clean} my {pair:s}."
:
{F} {smile:d} {manner:ly} and went alone, and {H} felt {blue}.
When {F} was gone, {H} {sob:d} and {look:d} at the {furniture}.
{he} stayed at home with {his} {toy}, but it was no fun at all to play {game} alone.
/
:
{E} sat down beside {him} and asked {manner:ly}, "What are you [afraid|scared|frightened|terrified] of?"~"I am [afraid|scared|frightened|terrified] of {K}," %said {H} %low.
"You look {blue}, {H}," %said {E} %how. "Is it because of {K}?" {H} nodded {glum:ly}.
"Everyone else is so {trait}," {H} told {E} %low, "and I am [afraid|scared|frightened|terrified] of {K}."
:
"When I was {age} years old, I was [afraid|scared|frightened|terrified] of {bug:s}," %said {E} %how, "and one day I learned to look at them {manner:ly}."
"I was once {afraid} too," %said {E} %how. "I held on to my {keepsake}, took one {small} step, and then another one."
"Being brave does not mean that you never feel {afraid}," {E} %said %how. "It means that you {try} once more, even when your {limb:s} shake."
:?
{E} gave {H} {a} {hue} {keepsake} to hold and {smile:d} {manner:ly}.
Then {E} told {him} {a} {story} about {a} {trait} {animal} that was [afraid|scared|frightened|terrified] of {bug:s}.
/
:
%next, {H} took a deep breath, held {E}'s hand and {move:d} to the {P}.
%next, {H} put on {his} {hue} {wear} and went to find {F}.
%next, {H} said to {himself}, "I am {small}, but I am {trait}."
:
{his} heart was beating like {a} {instrument}, but {he} counted to {number} and thought of {a} {big} {animal}.
{he} counted {number} {natural:s}, closed {his} eyes, opened them {manner:ly} and took one {small} step.
"You can do it!" called {F} %how. "I am right here beside you, next to the {tree}."
:
And then {H} saw that {K} could be {nice} after all, and {he} {smile:d} {manner:ly}.
It was not as bad as {he} had thought, and after {number} minutes {he} even {smile:d}.
Little by little {he} felt {better:er} and {better:er}, until {he} {smile:d} {manner:ly}.
/
@glad @meal?
:
"{cheer}!" {shout:d} {H} %how. "I was {afraid}, but I did it, and it was {nice}."
"I knew that you were {trait}," %said {F} %how, and gave {him} {a} {treat}.
{H} learned that a fear grows [bigger|greater|stronger|taller|darker] when you hide and [smaller|weaker|thinner] when you {look} at it {manner:ly}.
Now when {F} feels [afraid|scared|frightened|terrified] of {bug:s}, it is {H} who holds {F:his} hand and {smile:s}.
@night?

# H=pet S=animal F=pet Z=animal Y=produce T=town P=outdoors
:title
{H} and {F} Share
The {S} Who Shared
The {Y} and the Two Friends
Enough for Two
{H} the {trait} {S}
@openpet @lovepet?
/
:
%day, {H} found {a} {vessel} of {taste} {Y:s} near the {P}.
%day, {H} picked {count} {Y:s} by the {P} and carried them home in {a} {looks} {vessel}.
%day, an old {job} gave {H} {a} {vessel} of {taste} {Y:s} for {his} help.
:
"These are all mine," %said {H} %how, "and I will eat them in the {season}."
{he} hid them {manner:ly} under {a} {tree} and {look:d} around to see that nobody was near.
{he} wanted to keep every {Y} for {himself}, so {he} put them in {a} {size} hole beneath {a} {tree}.
@scene?
/
:
%next {F}, {a} {small} {Z}, {move:d} by, and {F:he} looked hungry and {blue}.
%next {a} {Z} named {F} came to the {tree} and {sob:d} {glum:ly}.
%next {he} met {F}, {a} {trait} {Z}, who had eaten nothing but {natural:s} since {weekday}.
:
"The {fierce} wind took all my food," %said {F} %low. "Do you have {a} {fruit} or {a} {veg} for me?"
"Could you give me one {small} {Y}?" asked {F} %low.
"My {container} is empty, and the {season} is so [long|cold|hard|dry|wet|harsh]," {F} %said %low.
:
{H} thought of {his} {Y:s} and said {manner:ly}, "I have nothing at all."
"No," %said {H} %how, "for I need them all in the {season}."
{H} {look:d} at {his} {limb:s} and said nothing, and {F} {move:d} away {glum:ly}.
:
But that night {H} could not sleep, and not even the best {Y} tasted good.
That night {H} lay in {his} bed of {natural:s} and thought of {F}, and {he} felt {blue}.
{H} ate {number} {Y:s}, but alone they did not taste {taste} at all, and {he} felt {blue}.
/
:
In the morning {he} filled {a} {looks} {vessel} with {Y:s} and {move:d} to find {F}.
When the sun rose over the {P}, {H} took half of the {Y:s} and {move:d} to the home of {F}.
Early the next day {H} {move:d} through the {outdoors} until {he} saw {F} under {a} {tree}.
:
"I am sorry that I was so [selfish|greedy|unkind|mean]," %said {H} %how. "Here are {number} {Y:s} for you."
"I was wrong, {F}," %said {H} %low, "and half of these {Y:s} are yours."
"Please eat with me," {H} %said %how, "because {taste} things taste better with a friend."
:
{F} {smile:d} and {eat:d} {a} {Y}, and soon they were both {glad}.
They sat under {a} {tree}, {eat:d} the {Y:s} and told {story:s} about {creature:s} and {animal:s}.
{F} {eat:d} {number} of them, {smile:d} {manner:ly} and said that they were {nice}.
/
:
In the {season}, when {H} was hungry, {F} brought {him} {a} {vessel} of {fruit:s}.
Later, when the {fierce} winter came, it was {F} who shared {F:his} warm {furniture} with {H}.
And {F}, who knew every {outdoors} near {T}, showed {H} where the {fine:est} {fruit:s} grow.
:
{H} learned that {a} {treat} which is shared is twice as {taste}.
Since then {H} has always had room for one more friend at {his} {looks} table.
And that is how {a} {S} and {a} {Z} became friends, one {taste} {Y} at a time.
@friends?

# H=child F=child E=kin B=project M=timber T=town P=outdoors G=event
:title
The {looks} {B}
{H} Builds {a} {B}
{H}, {F} and the {B}
{a} {B} Made of {M}
@open @love?
/
:
%day, {H} and {F} decided to build {a} {B} beside the {P}.
%day, {H} said to {F}, "Let's build {a} {B} out of {M} and {stuff}."
%day, {H} saw {a} picture of {a} {looks} {B} in a book from {year}, and {he} showed it to {F}.
:
They found some {M}, {a} {worktool} and {count} {natural:s} in the {room}.
{E} lent them {a} {worktool}, {a} {worktool} and {a} {container} full of nails.
They looked for {M} in the {room}, and the {job} gave them {a} {container} of {stuff}.
:
{F} wanted to be quick, so they did not {toil} [carefully|slowly|patiently|properly], and soon {a} {looks} {B} stood by the {tree}.
They {move:d} {where} and worked so fast that nobody stopped to measure the {hard:est} part.
"We don't need {a} plan," %said {H} %how, and they began with the {hard:est} part.
@scene?
/
:
But when {a} {sky} wind {wind:d}, the {B} {breakdown:d}.
Then {a} {bird} sat down on top of it, and the {B} {breakdown:d}.
At {number} o'clock there was {a} {loudness} noise, and the {B} {breakdown:d}.
@sad
:
"It is all your fault!" {shout:d} {F} %angry. "You held the {worktool} the wrong way."~"No, it was the {M}," %said {H} %low.
"We will never finish it," %said {F} %low.~"Perhaps we can ask {E}," %said {H} %low.
{H} kicked {a} {natural} and wanted to give up, and {F} {sob:d}.
/
:
{E} came out of the {room} and said {manner:ly}, "Even {a} {job} has to try more than once."
"Start with {a} drawing," %said {E} %how, "and measure everything with {a} {worktool} before you {toil}."
"When I built {a} {project} in {year}, it {breakdown:d} {number} times," %said {E} %how, "and each time I learned something."
:
So they drew {a} {shape} and {a} {shape} on paper, and {F} measured while {H} {toil:d}.
This time {H} held the {worktool}, {F} held the {worktool}, and they worked {manner:ly}.
They {toil:d} all {time}, {H} with {a} {worktool} and {F} with {a} {worktool}, and they sang {a} {story} about {a} {job}.
:
They painted it {colour} and {colour} and put {a} {natural} on top.
{H} {mend:d} the {hard:est} part with {stuff}, and {F} painted {colour} {shape:s} on it.
At last they tied {a} {colour} flag to it and {look:d} at their work with {a} {grin} smile.
/
:
Now the {B} was {solid} and {solid}, and not even {a} {animal} could break it.
The {B} was {solid:er} and {solid:er} than before, and even the {job} came to see it.
When the wind {wind:d} again, the {B} stood as steady as {a} {tree}.
@glad @meal?
:
"We did it together!" {shout:d} {F} %how.
"{cheer}!" {shout:d} {F} %how. "Nothing can break it now."
"Slow and {manner} is better than fast," %said {H} %how, and {F} {smile:d}.
And the two friends knew that {a} good plan and {a} {trait} helper are better than {count} nails.
@night?

# H=child E=kin N=lady T=town A=animal P=building
:title
The {fierce} Storm of {T}
The Storm in {T}
{H} and the Storm
{N} and the Storm
@open @love?
:
Next door, in {a} {looks} house with {a} {colour} roof, lived {N}, who was {count} years old and had {number} {farm:s}.
{his} neighbor was {N}, who used to be {a} {job} and now {keep:d} {a} {looks} {instrument}.
Across the street lived {N}, an old {job} with {a} {hue} {wear} and {a} {trait} {farm}.
/
:
%day, the sky over {T} turned {colour}, and {a} {fierce} wind {wind:d} around the {P}.
%day, {colour} clouds came over the {outdoors}, and the {bird:s} stopped {birdact:g}.
%day, the {job} {move:d} from door to door and called, "There is {a} {fierce} storm on the way to {T}."
:
The rain fell on the {building}, the {tree:s} {plantact:d}, and {a} {wear} flew over the {building}.
[Boom|Crash|Bang|Rumble|Crack] went the thunder, and the wind {wind:d} so hard that {container:s} and {wear:s} flew {where}.
Lightning {shine:d} above the {building}, and the {vehicle:s} stopped on {^tree} [Street|Road|Lane].
:
{H} and {E} closed the windows of the {room}, and they lit {a} {looks} lantern.
{E} brought {a} {looks} lamp and {a} {hue} blanket, and {H} sat on the {furniture}.
{H} felt {afraid}, but {E} {smile:d} and made some {drink}.
/
:
Then {H} looked out and said {manner:ly}, "There is no light in the {room} of {N}."
"What about {N}?" {H} asked {manner:ly}.
Through the window {H} saw that the wind had taken {a} piece of the {colour} roof from {N}'s {room}.
:
"She is all alone with her {farm}," {he} %said %low, "and she must be {afraid}."
"Someone must help her," %said {H} %how. "I am {small}, but I can carry {a} lantern and {a} {container}."
{he} took {a} {gadget} and {a} {vessel} of {mass} and put on {his} {hue} {wear}.
:
Hand in hand, {H} and {E} {move:d} through the rain, past {a} {looks} {vehicle}, to {N}'s door.
{H} and {E} tied {a} rope around their {wear:s} and {move:d} {manner:ly} across the street.
The wind {wind:d}, but {H} held on to {E}, and they {move:d} past the {tree} to the little house.
/
:
"Oh, how [glad|happy|pleased|relieved|thankful] I am to see you!" {shout:d} {N} %how.
{N} was sitting under her {furniture} with {a} {looks} candle, and she {smile:d} when she saw them.
"Come in, come in," %said {N} %how. "My {farm} and I were so {afraid}."
:
They put {a} {container} under the hole in the roof, {mend:d} the door with {stuff} and told {story:s} about {creature:s}.
{H} sang {a} {story}, {N} played the {instrument}, and soon nobody heard the {fierce} wind.
All {time} they sat together, ate {taste} {mass} and listened to the wind that {wind:d} outside.
/
:
In the morning the sun {shine:d}, and {a} rainbow stood over the {building}.
When the storm was over, {sound}, and {flyer:s} {flyact:d} above the wet {flower:s}.
%next all the neighbors came with {tool:s} and {tool:s}, and they {mend:d} the roof of {N}.
:
"You were {trait} and {trait}, {H}," %said {N} %how, and gave {him} {a} {looks} {keepsake} from {year}.
"A good neighbor is worth more than {count} {keepsake:s}," {N} %said %how.
{H} learned that a storm feels {small} when people {help} each other.
After that {H} visited {N} every {weekday}, and she taught {him} to {make} {craft:s}.
@night?

# H=child F=child E=kin V=vehicle T=town L=town G=game W=treat
:title
The New Neighbor
{F} Comes to {T}
{H} and the New {F:lad}
A Friend from {L}
@open @love?
/
:
%day, {a} {colour} {vehicle} stopped in front of the house next door, at number {house}.
%day, {a} new family moved from {L} to {^tree} [Street|Lane|Road].
%day, {H} saw {a} {job} carry {furniture:s} and {container:s} into the empty house next door.
:
Behind {a} {size} {container} stood {a} {trait} {F:lad} with {a} {hue} {wear}.
On the steps sat {a} {F:lad} with {a} {toy} in {F:his} hands, and {F:he} looked {blue}.
With them came {a} {F:lad} named {F}, who was {age} years old and {look:d} at {F:his} {pair:s}.
:
"Who is that?" asked {H} %how.~"That is {F}," {E} %said %how, "and {F:he} does not know anyone in {T}."
"The new {F:lad} is called {F}," %said {E} %how, "and in {L} {F:he} had {a} {farm} and many friends."
:
{H} wanted to say hello to {F}, but {he} felt {afraid} and hid behind {a} {tree}.
{H} waved {manner:ly} to {F}, but {F} {move:d} into the {room} and closed the door.
"What should I say to {F:him}?" asked {H} %low.
/
:
"{F} may feel {afraid} too," {E} %said %how. "Let us bake {a} {W} and take it over."
{E} {smile:d} {manner:ly} and said, "When you don't know what to say, bring {a} {taste} {W}."
"Everyone likes {a} {taste} {W}," %said {E} %how, "even {a} {job} or {a} {creature}."
:
So they {cook:d} {W:s} with {fruit:s}, and the {room} smelled {nice}.
They mixed butter, {fruit:s} and sugar in {a} {looks} {container}, and {sound} outside.
{H} stirred with {a} {size} spoon, {E} washed the {fruit:s}, and soon the {W:s} were {taste}.
/
:
{H} {move:d} next door and knocked {manner:ly}, and {F} opened the door.
With {his} heart beating like {a} {instrument}, {H} rang the bell at number {house}.
{manner:ly}, {H} {move:d} up the steps, holding {a} {vessel} of warm {W:s}.
:
"Hello, I am {H}, and I made these for you," {he} %said %how.
"Welcome to {T}!" said {H} %how. "These are {W:s} with {fruit:s}."
:
{F} tasted {a} {W}, and {F:his} eyes {shine:d}.
"Thank you, {H}," %said {F} %how. "I was [afraid|scared|worried|sure] that nobody here would play {G} with me."
{F} {smile:d} for the first time since {L}, and {F:he} {eat:d} {number} {W:s}.
:
"Do you like {G}?" asked {F} %how.~"I love {G}, and I have {a} {toy} too," %reply {H} %how.
"I have {a} {looks} {toy}," %said {F} %how. "We could play with it by the {outdoors}."
"In {L} we played {G} every {weekday}," %said {F} %how. "Can I show you?"
/
:
They played {G} until the moon {shine:d} over the {building}.
All {time} they {move:d} {where} and played {G}, and {H} showed {F} the {outdoors} and the {building}.
Soon {F} knew every {outdoors} in {T}, from the {building} to the {outdoors}.
:
{H} learned that a new friend may be waiting behind the very door on which you are {afraid} to knock.
One {taste} {W} and one {voice} hello were enough to make {a} {F:lad} from {L} feel at home.
And when another family came in {month}, {H} and {F} {cook:d} {number} {W:s} together.
@friends?

# H=child F=child E=kin K=skill J=job T=town G=event
:title
{H} Learns to {K}
{H} Tries Again
How {H} Learned to {K}
@open @love?
:
But there was one thing that {H} could not do, for {he} could not {K}.
All the other children could {K}, but {H} could not, and that made {him} feel {blue}.
More than anything, more than {treat:s} or {a} {looks} {toy}, {H} wanted to learn to {K}.
/
:
%day, {H} tried to {K}, but {he} {try:d} and hurt {his} {body}.
%day, {H} said {manner:ly}, "Today I will learn to {K}."
%day, {F} showed {H} how to {K}, and it looked so easy.
:
{he} {try:d} and {try:d}, and once {he} even fell over {a} {container}.
{he} tried {number} times, and each time it went wrong, while {a} {bird} {soar:d} above {him}.
{he} tried it {manner:ly}, and {he} tried it {manner:ly}, but nothing helped.
@sad
:
"I will never be able to {K}," {H} %said %low.
"It is too hard!" {shout:d} {H} %low. {he} threw {his} {wear} on the {furniture}.
/
:
{E} picked up {a} {natural} and said {manner:ly}, "Do you see this? Once it was [rough and sharp|sharp|rough], and drop by drop the water made it smooth."
"I could not {K} when I was {age} years old," %said {E} %how, "and I cried into {a} {container}."
"Even {a} {bird} falls out of the {tree} before it can fly," {E} %said %how.
:
"Try for {number} minutes every {time}," %said {E} %how, "and in {month} we will see."
"Practice a little every day, {manner:ly} and {manner:ly}," %said {E} %how.
"I will teach you," %said {F} %how, "if you teach me to {make} {a} {craft}."
/
:
So every {time} {H} practiced beside the {tree}, even on {sky} {season} days.
From {weekday} to {weekday} {H} practiced, sometimes {manner:ly} and sometimes {manner:ly}, but {he} never stopped.
{H} practiced in the {room}, {he} practiced at the {outdoors}, and {he} even practiced in {his} dreams.
:
In {month} {he} was {a} little better, and in {month} {he} was better still.
Each week it went {a} bit better, and {F} {smile:d} and counted from {number} to {number}.
After {count} days something {nice} happened to {H}.
@scene?
/
:
At the {G} in {T}, in front of {a} {job} and {count} other people, {H} began to {K}.
{weekday} came, and there, in the {outdoors}, {H} could {K} all by {himself}.
%day, without thinking about it, {H} began to {K}, and it went {manner:ly} and well.
:
"Look, I can do it!" {shout:d} {H} %how.
Everyone {smile:d}, and {a} {job} gave {him} {a} {hue} {keepsake}.
{E} {smile:d} {manner:ly}, and {F} {move:d} {where} for joy.
@glad
:
{H} learned that nobody is {trait} from the start, and that every [big|great|grand] thing begins with {a} {small} one.
"It was only hard until it was easy," {H} %said %how, and {E} {smile:d}.
Now {H} teaches the {small} children, and when they {sob}, {he} tells them about {a} {lad} who could not {K}.
@meal?

# H=child E=kin O=keepsake C=hue T=town N=gentleman W=container
:title
The Broken {O}
{H} Tells the Truth
{E}'s {C} {O}
The {C} {O} and the Truth
@open @love?
:
On {a} {size} shelf in the {room}, {E} kept {a} {C} {O} from {year}.
{E} had {a} {C} {O} that once belonged to {a} {job}, and it stood on the {furniture}.
In {E}'s {room} there was {a} {C} {O}, and nobody was allowed to touch it without asking.
/
:
%day, when {E} was at the market to buy {veg:s}, {H} took the {O} from its place.
%day, {H} was playing {game} in the house, although {E} had said no {number} times.
%day, {H} wanted to show the {O} to {his} {toy}, so {he} climbed on {a} {furniture}.
:
{noise} went the {furniture}, and the {O} fell to the floor and broke into {number} pieces.
{his} {body} hit the {furniture}, the {O} slipped, and with {a} {loudness} sound it broke.
There was {a} {loudness} noise, and then the {O} lay on the floor beside {a} {furniture}, broken in two.
:
{H} felt {afraid} and {blue}, and {he} hid the pieces in {a} {W}.
{his} heart beat like {a} {instrument}, and {he} swept the pieces into {a} {W}.
"Nobody saw me," {H} {say:d} {manner:ly}, and put the pieces into {a} {looks} {W}.
/
:
When {E} came home, {E:he} asked, "Who moved the {furniture}?"
All {time} {H} felt {blue}, and {he} could not eat {his} {mass} or {his} {treat}.
At supper there was {taste} {mass}, but {H} felt {blue} and only {look:d} at {his} plate.
:
"Maybe it was the {farm}," thought {H}, but that was not true, and {he} felt {blue}.
{he} thought of {a} {story} in which {a} {animal} told a lie and lost all {number} friends.
"If I say nothing, perhaps {E} will think that {a} {bird} did it," thought {H}, but {his} {limb:s} trembled.
:
At last {he} {move:d} to {E} and said {manner:ly}, "I broke your {C} {O}, and I am very sorry."
"I have to tell you something," {H} %said %low. "I broke the {O}, and I hid it in {a} {W}."
{manner:ly}, {he} put the {W} with the pieces on the {furniture} and told {E} everything.
/
:
{E} was quiet for {number} seconds, and then {E:he} hugged {him} {manner:ly}.
"Thank you for telling me the truth," %said {E} %how. "That was {better:er} than any lie."
"I am {blue} about the {O}," {E} %said %low, "but I am {glad} that you are so honest."
:
Together they took the pieces to {N}, {a} {trait} {job} who could {mend} almost anything.
"Perhaps we can {mend} it with glue and {a} {worktool}," %said {E} %how.
"{N} has {a} {tool} and some {stuff}," %said {E} %how, "and {a} {trait} helper like you can hold the pieces."
:
They worked all {time} with {stuff}, {a} {tool} and {a} {size} {tool}, and {H} held the pieces {manner:ly}.
Piece by piece they {mend:d} it, and {H} painted {a} {small} {colour} {shape} over the crack.
It took {number} hours, and {H} {clean:d} the {tool:s} and {clean:d} the {furniture}.
/
:
Now the {O} had {a} {size} line on its side, but {E} loved it even more than before.
The {O} looked {a} little [worn|bent|scratched|battered|crooked|patched], but every time {E} saw the {shape} on it, {E:he} {smile:d}.
@glad
:
{H} learned that the truth may be hard to say, but {a} lie is [heavier|harder] to carry.
"Things can break and be mended," %said {E} %how, "and so can {a} {blue} heart."
@night?

# H=child F=child E=kin T=town G=treat J=job C=craft
:title
The Secret
A Secret for {E}
{E}'s Birthday
{H} Keeps {a} Secret
@open @love?
/
:
%day, {H} and {F} sat under {a} {tree} and whispered, for it was almost {E}'s birthday.
%day, {H} told {F}, "On {weekday} {E} will be {count} years old, and I want to plan {a} {event}."
"Can you keep {a} {fine} secret?" {H} asked {F} %how. "It is {E}'s birthday on {weekday}."
:
{F} {smile:d} and promised not to tell anyone, not even {F:his} {farm}.
"I can be as quiet as {a} {sea}," %said {F} %how.
"My mouth is closed like {a} {container}," %said {F} %how.
:
They made a list of {number} things, with {a} {treat}, {count} {quality} {flower:s} and {a} {story} at the top.
"We need {colour} {toy:s}, {a} {treat} and some {drink}," %said {H} %how, and wrote it all down.
{H} wanted to {make} {a} {C}, and {F} wanted to {cook} {taste} {treat:s}.
/
:
All week they worked in the {room}, {make:g} {a} {C} out of {stuff} and {stuff}.
Every {time} they met in the {room}, where {H} {make:d} {a} {C} and {F} practiced the {instrument}.
The {job} sold them {a} {vessel} of {fruit:s}, and {a} {job} lent them {number} {furniture:s}.
:
Once {E} came in, and {H} hid the {C} behind {a} {furniture}.
"What are you two doing in there?" asked {E} %how.~"We are only {clean:g} the {furniture:s}," %reply {H} %how.
When {E} asked why there was {stuff} on {his} {wear}, {H} only {smile:d}.
:
But then something went wrong, for {a} {farm} {move:d} in and {eat:d} the {treat:s}.
Then, on {weekday}, {F} dropped the {container}, and all the {treat:s} were full of {stuff}.
But the {animal:s} from the {outdoors} found the {treat:s} and left nothing but {number} crumbs.
/
:
"Now everything is ruined!" {shout:d} {F} %low. {F:he} {sob:d}, because there were only {number} hours left.
"What shall we do now?" asked {F} %low.
{F} {sob:d} {glum:ly}, and even {H} felt {blue} for {a} moment.
:
"We still have {fruit:s} and {mass}," %said {H} %how, "and with those we can {cook} {G:s}."
"The {job} will help us," %said {H} %how. "Run and ask for {fruit:s}, and I will {clean} the {container}."
{H} thought {manner:ly} and said, "It does not have to be perfect, as long as it is {nice} and {fine}."
:
They {cook:d} {manner:ly}, and by {number} o'clock there were {count} {taste} {G:s} on the table.
So they {move:d} to the {room}, {cook:d} {fruit:s} with sugar, and made {G:s} in the shape of {a} {shape}.
With the help of {a} {trait} {job}, they filled {number} {container:s} with {taste} {G:s}.
/
:
When {E} opened the door, everyone sang, and {sound} as if they knew the song.
"Happy birthday, {E}!" {shout:d} {H} and {F} %how.
{E} came home from the {building}, saw the {C} and the {quality} {flower:s} and {smile:d} {manner:ly}.
:
"This is the most {nice} birthday since {year}," %said {E} %how.
"I have never tasted such {taste} {G:s}," %said {E} %how, and hugged them both.
{E} {look:d} at the {C} all {time} and ate {number} {G:s}.
:
{H} learned that some secrets are {nice}, when they end with {a} surprise.
And the {C} that {H} made still stands beside {E}'s {furniture} in the {room}.
{H} and {F} {smile:d}, for {a} gift made {manner:ly} by hand is better than {a} {fine} one from {a} shop.
@night?

# H=pet S=animal F=pet Z=animal T=town P=outdoors O=wear C=colour
:title
The [Great|Big|Long|Grand|Spring|Summer|Autumn|Forest|Meadow] Race
The {S} and the {Z}
{H} and {F} Run {a} Race
The Race to the {P}
@openpet @lovepet?
/
:
%day, the owl told everyone about {a} race from the {outdoors} to the {P}.
%day, {a} {job} from {T} hung up {a} poster for {a} race around the {P}.
%day, all the animals met at the {P} for the {size} {season} race.
:
The first prize was {a} {C} {O} and {a} {vessel} of {taste} {treat:s}.
Whoever won would get {a} {C} {O} and {count} {fruit:s}.
The winner would wear {a} {C} {O} and sit on {a} {looks} {furniture} all {season}.
:
"I am the {fast:est} of all," %said {F} the {Z} %how, and {smile:d}.
{F}, {a} {Z} with {fast} legs, {look:d} at {H} and said, "You are too {small} to win."
{F} the {Z} was {fast:er} than {H}, and {F:he} told everybody so, {manner:ly} and {manner:ly}.
/
:
"One, two, three, go!" called the owl {manner:ly}, and they all {move:d} away.
{a} {bird} {birdact:d} {number} times, and the race began.
[Twang|Plink|Ding|Boom|Clang] went the old {instrument}, and the {animal:s} and the {animal:s} {move:d} off.
:
{F} {move:d} so fast that {F:he} was soon far ahead, past the {tree:s} and the {tree:s}.
{H} {move:d} {manner:ly} behind the others, over {natural:s} and under {tree:s}.
They {move:d} through the {outdoors}, over the {outdoors} and past {a} {looks} {vehicle}.
:
Halfway to the {P}, {H} heard {a} {loudness} cry.
Then, beside {a} {tree}, {H} heard someone [sob|cry|weep|moan|whimper] %low.
At the {outdoors} {H} saw something {colour} in the {plant:s}, and {he} stopped.
/
:
It was {F}, who had fallen over {a} {natural} and hurt {F:his} {body}.
{F} had slipped on {a} {natural}, and now {F:he} was stuck between two {natural:s}.
There lay {F} in {a} {size} hole, with {natural:s} all over {F:his} {body}.
:
"Go on without me," %said {F} %low. "You can win the {O} now."
"My {body} hurts so much," {F} %said %low. "I was [unkind|rude|mean|unfair] to you, and I am sorry."
"Please help me!" called {F} %low.
"I cannot {move} any more," %said {F} %low, "and my {body} hurts."
"Leave me here," {F} %said %low. "You will win the {O}, and I will wait with the {bird:s} under {a} {tree}."
{F} {sob:d} {glum:ly} and said that {F:his} {body} hurt and that {F:he} was {blue}.
:
{H} looked at the road, and {he} looked at {F}, and then {he} {move:d} down {manner:ly}.
"There will be other races," %said {H} %how, "but {a} friend in trouble cannot wait."
{H} thought of the {C} {O} for {number} seconds, and then {he} gave {F} {his} hand.
:
{H} made {a} bandage out of {natural:s} and {stuff}, and together they {move:d} on {manner:ly}.
With {a} {tool} and {a} {size} stick, {H} helped {F} up, and {he} held {F:him} all the way.
Side by side they {move:d} to the {P}, singing {a} {story} about {a} {creature}.
/
:
They came in last, after the {animal:s} and the {animal:s}, but everyone {smile:d} and cheered.
An old {animal} had won the race, but nobody looked at the winner, for all eyes were on {H}.
When they reached the {P}, {count} animals stood up and {smile:d}.
:
The winner took off the {O} and gave it to {H} {manner:ly}.
"The {O} is for {H}," %said the owl %how, "because {a} {trait} heart is {fast:er} than {fast} legs."
"You may be {small}," {F} said to {H} %how, "but you are the {better:est} friend of all."
@glad?
@friends?

# H=child E=kin V=plant T=town Y=produce N=lady
:title
{H}'s Garden
The {looks} Seeds
The {size:est} {Y} in {T}
{H} Learns to Wait
@open @love?
/
:
%day, {E} gave {H} {a} {looks} {vessel} full of {Y} seeds.
%day, {H} found {number} {colour} seeds in the pocket of {a} {looks} {wear}.
%day, {N} gave {H} {a} handful of {Y} seeds for {his} birthday.
:
"What can I do with these?" {he} asked {manner:ly}.~"Plant them," %reply {E} %how, "and you will see something {nice}."
"If you {garden} them {manner:ly}," %said {E} %how, "they will turn into {taste} {Y:s}."
"Will they grow by {weekday}?" asked {H} %how.~"No, it takes {number} weeks," %reply {E} %how.
:
So {H} took {a} {tool} and dug {a} {size} hole between the {flower:s} and the {veg:s}.
Behind the {building}, {he} {garden:d} {a} {small} patch of earth and pushed the seeds into it.
With {a} {tool} and {a} {tool} {he} made {number} rows, and in each row {he} put {number} seeds.
/
:
The next day {he} {move:d} out, but there was nothing to see but {a} {bug} and {a} {natural}.
Every {time} {he} looked, and every {time} there was only earth and {a} {small} {bug}.
{H} waited until {weekday}, but nothing grew except {a} {flower}.
:
"They are broken!" {shout:d} {H} %low.
"I will dig them up and look," {H} %said %low.
{he} {sob:d}, kicked {a} {container} and wanted to plant {natural:s} instead.
:
"Wait a little," %said {E} %how. "Under the ground they [sleep|wait|stretch|dream|rest] in the dark, like {a} {animal} in winter."
{E} {smile:d} and said, "Water them {manner:ly}, and read them {a} {story} while you wait."
"A seed cannot hurry," {E} %said %how, "not even for {a} {job} or {a} {creature}."
/
:
So {H} watered them with {a} {looks} {container} every {time} and pulled out the weeds.
{H} {garden:d} the patch, kept the {bird:s} away with {a} scarecrow in {a} {hue} {wear}, and told the seeds {story:s}.
In {month} it was {sky}, and in {month} it was {sky}, but {H} {garden:d} the patch every day.
:
Then, one {sky} {time}, {number} {small} green leaves came out of the earth.
And in {month} something {small} and green {sprout:d} between the {natural:s}.
%day, {H} saw {a} green point, as {small} as the {body} of {a} {bug}.
@glad @scene?
/
:
The plants grew [taller and taller|higher and higher|stronger and stronger|thicker and thicker], and {flyer:s} {flyact:d} around them.
Week after week they {sprout:d}, until they were [bigger|taller|higher] than {a} {farm}.
By the end of {month} there were {count} {taste} {Y:s}, {a} few as big as {a} {container}.
:
{H} picked {a} {vessel} of {Y:s} and gave one to {N}, one to the {job} and one to {E}.
They {cook:d} the {Y:s} with {mass}, and {N} came with {a} {cup} of {drink}.
At the {event} in {T}, {H}'s {size:est} {Y} won {a} {colour} ribbon.
:
"{^nice} things take time," %said {H} %how, and {E} {smile:d}.
{H} learned that {a} garden, like {a} friend, needs {a} little care every {time}.
And {H} kept {number} seeds in {a} {looks} {container} for the next {season}.
@meal?

# H=child F=child E=kin O=magic C=hue T=town P=building X=farm
:title
The Magic {O}
{H} and the Magic {O}
Three Wishes in {T}
The {C} {O}
@open @love?
/
:
%day, {H} found {a} {C} {O} in {a} {looks} {container} at the {P}.
%day, {a} {trait} {job} in {a} {hue} {wear} gave {H} {a} {C} {O}.
%day, in the {room} of {a} {looks} house, {H} found {a} {C} {O} that {shine:d} in the dark.
:
When {he} touched it, it {shine:d}, and {a} {voice} voice said, "I will grant you three wishes."
On it was written in {size} letters that its owner had three wishes.
"I am {a} magic {O}," it said in {a} {voice} voice, "and I have three wishes for {a} {trait} {lad}."
:
{H} was so {glad} that {he} {move:d} {where}.
{H} {look:d} at it {manner:ly} and could not believe {his} own eyes.
"Is this {a} dream?" {H} asked {manner:ly}.
/
:
First {H} wished for {count} {taste} {treat:s}, and [pop|whoosh|bang|zoom|snap], there they were.
"I wish for {a} mountain of {treat:s} and {a} lake of {drink}," {H} %said %how.
First {he} wished for {number} {toy:s}, {number} {toy:s} and {a} {looks} {vehicle}.
:
But {he} had so much that {he} felt {blue}, and soon {his} [tummy|stomach|head] hurt.
At first it was {nice}, but soon the {room} was so full that {he} could not find {his} own {furniture}.
But no one was there to share it, and {H} felt {blue}.
:
For the second wish {he} asked to be as [strong|fast|big] as {a} {animal}, but then {he} was too [strong|heavy|big] for {his} {furniture}, and it {breakdown:d}.
Next {he} wished to fly like {a} {bird}, but the wind {wind:d}, and {he} landed in {a} {tree}.
Then {he} wished that everything in the {room} were made of {stuff}, but soon even {his} {farm} looked {blue}.
/
:
Just then {F} {move:d} by and said {glum:ly}, "My {X} is ill, and the vet cannot help."
Then {he} heard {F} [sob|cry|weep], for {F:his} {X} had been ill since {weekday}.
{F} stood in front of the {P} and {sob:d}, because {F:his} {X} was ill and could not get up.
:
{H} {look:d} at the {O} and thought of {toy:s} and {treat:s}, and then {he} looked at {F}.
"I have only one wish left," thought {H}, and {he} held the {O} {manner:ly}.
{H} had wanted to be {a} {job} with {count} {keepsake:s}, but now {he} did not think of that.
:
"I wish that {F}'s {X} may be well and {glad} again," {he} %said %how.
"My last wish is for {F}," {H} %said %how. "Please make the {X} well."
/
:
The {O} {shine:d} {manner:ly}, and then it was only {a} {looks} thing again.
There was {a} {colour} light, {sound}, and the {O} fell silent.
The {O} {shine:d} once more, in {colour} and {colour}, and then its magic was gone.
:
"It is well!" {shout:d} {F} %how. "It is {move:g} around the {outdoors}."
{F}'s {X} {move:d} out of the barn, as {glad} as {a} {baby}.
{F} {smile:d} and wept at the same time and hugged {him} {manner:ly}.
@glad
:
{H} learned that {a} wish for {a} friend makes two people {glad}.
Of all three wishes, {H} liked the last one most, and the {O} stands on {his} {furniture} to this day.
"I don't need any more magic," {H} said to {E} %how, "for I have {a} {trait} friend."
@friends?

# H=child E=kin O=thing C=hue T=town N=gentleman A=count W=container
:title
{H} Saves {his} Coins
The {C} {O} in the Window
{H} and the {O}
{A} Coins
@open @love?
/
:
%day, {H} saw {a} {C} {O} in the window of the toyshop, and it cost {A} coins.
In the window of {N}'s shop in {T} there was {a} {C} {O}, and a card said that it cost {A} coins.
%day, {H} stood in front of {N}'s shop and {look:d} at {a} {C} {O} for {A} coins.
:
{he} counted {his} money, but {he} had only {number} coins and {a} {natural}.
{his} pocket held {number} coins, {a} {natural} and {a} {treat}, and that was not enough.
"I have only {number} coins," {he} told {E} %low.
:
"Then you must work and save," %said {E} %how, "like {a} {bug} in summer."
"Put each coin into {a} {W}," %said {E} %how, "and wait until it is full."
"I know {number} people in {T} who need {a} {trait} helper," %said {E} %how.
/
:
So {H} {clean:d} {furniture:s} for the {job} and fed the {farm:s} of the {job}.
On {weekday} {he} {clean:d} {a} {vehicle}, and on {weekday} {he} picked {fruit:s} behind the {building}.
{he} {clean:d} the {building}, carried {container:s} for {a} {job} and sold {drink} by the {outdoors}.
:
Every {time} {he} dropped {number} coins into {a} {looks} {W}, and [clink|plink|plop|ping|ding], it went.
The {W} grew [heavier and heavier|fuller and fuller], and by {month} it held all {A} coins.
After {number} weeks {he} counted {manner:ly} and found that {he} had {A} coins at last.
@glad
/
:
On the way to the shop {he} saw {a} {small} {lad} beside {a} {looks} {vehicle}, and the child {sob:d} {glum:ly}.
But in front of the {building} sat {a} {job} who had lost {a} {container} in the storm and looked {blue}.
%next, at the {building}, {he} met {a} {job} whose {vehicle} had {a} broken wheel.
:
"I have no money to {mend} it," %said the stranger %low, "and my children wait in {town}."
"What is wrong?" {H} asked {manner:ly}.~"I lost my money near the {outdoors}," came the answer, "and now I cannot buy any {mass}."
:
{H} looked at the shop, and {he} looked at the {W}, and {his} heart felt [heavy|warm|full|soft].
{H} thought of the {O} for {number} minutes, and {he} held {his} coins {manner:ly}.
:
Then {he} gave away {number} coins, and then {he} gave away the rest, {manner:ly} and without {a} word.
"Take these," {he} %said %how, "for you need them more than I need {a} {O}."
/
:
{H} {move:d} home with an empty {W}, but {he} felt {glad}.
At home {he} told {E}, and {E:he} {smile:d} {manner:ly}.
:
%next {N} knocked at the door with {a} {container} tied with {a} {colour} ribbon.
%next there was {a} {container} on the steps of the house, tied with {a} {colour} ribbon.
On {weekday} {N} called {H} into the shop and {smile:d} {manner:ly}.
:
"I saw what you did," %said {N} %how, "and the {C} {O} is yours."
In it was the {C} {O}, with {a} card that said, "For {a} {trait} {lad} from {N}."
:
{H} {keep:d} the {O} all {his} life, and it reminded {him} to be {trait} and {trait}.
Of all the coins in {T}, the ones that {H} gave away had bought the [finest|best|dearest|loveliest|richest|rarest] thing of all.
@night?

# H=child F=child E=kin X=critter Y=treat T=town
:title
Who Ate the {Y:s}
The Mystery of the {Y:s}
Detective {H}
{H} and the Missing {Y:s}
@open @love?
/
:
%day, {E} {cook:d} {count} {Y:s} and left them on {a} {furniture} in the {room}.
%day, {E} put {a} {vessel} of warm {Y:s} on the windowsill of the {room}.
%day, {H} and {E} {cook:d} {Y:s} with {fruit:s} for the {event}.
:
But when they came back from the {outdoors}, {number} of the {Y:s} were gone.
An hour later the {container} was empty, and only {a} few crumbs lay beside {a} {natural}.
But at {number} o'clock there was {a} {loudness} noise, and then the {Y:s} had vanished.
:
"Who ate my {Y:s}?" asked {E} %low.
"It wasn't me," %said {H} %how. "I was {clean:g} my {pair:s}."
"This is {a} mystery," {H} %said %how. "I will find out who took the {Y:s}."
/
:
{he} put on {a} {hue} {wear}, took {a} magnifying glass and called {F}.
{H} and {F} took {a} {gadget}, {a} {gadget} and {a} notebook and began to look for clues.
"Every detective needs {a} {trait} helper," {H} told {F} %how.
:
First they asked the {job}, who had only seen {a} {bird} and {number} {flyer:s}.
"Perhaps it was {a} {creature}," %said {F} %how, but {H} shook {his} head.
They {look:d} at the {farm}, but it was {animalact:g} beside the {furniture} and looked innocent.
:
Then {H} saw {small} tracks on the floor, {number} of them, in the shape of {a} {shape}.
{F} found {a} trail of crumbs that led from the {room} to the {room} and out to {a} {tree}.
Under {a} {furniture} they found {number} {colour} hairs and {a} {natural}.
/
:
{manner:ly}, they {move:d} behind {a} {tree} and waited for {number} minutes.
They followed the trail {manner:ly}, past {a} {looks} {container}, to the old shed.
That {time} they hid behind {a} {furniture} with {a} {hue} blanket over their heads.
@hush?
:
"Look over there!" whispered {F} %how.
{noise} went something in the dark, and {F} held {F:his} breath {manner:ly}.
Something {colour} {move:d} in the shadows, and {H} held up {a} {looks} lamp.
:
It was {a} {X}, and it had {number} babies that were {animalact:g} in {a} {container}.
There sat {a} {small} {X} with crumbs on its nose, and beside it lay {number} hungry babies.
A mother {X} {look:d} at them {manner:ly}, and in {a} bed of {stuff} her {number} babies were {animalact:g}.
/
:
"She only wanted to feed them," %said {F} %how. {H} put away {his} {gadget} and {smile:d}.
"Now I understand," %said {H} %how. "She was hungry, and the {season} has been so [long|cold|hard|dry|wet|harsh]."
:
{E} laughed and put out {a} {vessel} of {fruit:s} and {veg:s} every {time} after that.
From then on they left {a} {vessel} of {veg:s} behind the shed, and no more {Y:s} went missing.
:
"Before you are cross with someone," {E} %said %how, "find out whether {a} {blue} face is {a} hungry one."
{H} wrote in the notebook that {a} {trait} detective looks for reasons as well as {sight:s}.
@meal?
@night?

# H=child F=child E=kin I=instrument T=town G=event P=building C=colour W=wear
:title
{H} and the {I}
The {season} Concert
The {I} on the Stage
{H} Plays the {I}
@open @love?
:
{he} had played the {I} since {he} was {age}, and {sound} when {he} practiced.
Every {time} {H} practiced the {I}, until even the {farm:s} knew the songs.
{E} had given {him} {a} {looks} {I} from {year}, and {he} played it in the {room} every {time}.
/
:
%day, the {job} asked {H} to play the {I} at the {G} in the {P}.
%day, {a} letter came from the {P}, and it asked {H} to play at the {G}.
%day, {F} said {manner:ly}, "We are going to play at the {G}, I on the {instrument} and you on the {I}."
:
{H} practiced {manner:ly} for {number} weeks, in the {room} and in the {room}.
{H} practiced {a} {story} about {a} {animal}, first {manner:ly} and then {manner:ly}.
Each {time} {F} came with {F:his} {instrument}, and they practiced until {number} o'clock.
:
Then the day of the {G} came, and {count} people sat in the {P}.
On {weekday} the {P} was full of {job:s}, {job:s} and children in {colour} {wear:s}.
At {number} o'clock the lights went on, and {a} {job} in {a} {hue} {wear} stepped onto the stage.
/
:
{H} {look:d} at all the people, and {his} {limb:s} trembled.
Behind the curtain {H} felt {afraid}, and {his} {limb:s} were as cold as {a} {sea}.
"What if I forget everything?" {H} asked {F} %low.
:
"I feel {afraid} too," %said {F} %how. "Let us breathe in and count to {number}."
"Look at {E}'s {C} {W} in the first row," %said {F} %how, "and play only for {E}."
"If you make {a} mistake, just {smile} and go on," %said {F} %how. "Even {a} {bird} sings {a} wrong note."
:
{H} nodded {manner:ly}, took {his} {I} and {move:d} out into the {shine:g} light.
{H} took {a} {size} breath, thought of {a} {trait} {animal} and began to play.
So {H} looked for {E}'s {C} {W}, {smile:d} {manner:ly} and began.
/
:
The first note was {a} little {loudness}, but the second was [bright and clear|clear and sweet|strong and clear|warm and full].
Once {he} played {a} wrong note, but {he} {smile:d} and went on {manner:ly}.
The music {move:d} through the {P} like {a} {bird} over {a} {outdoors}.
:
When it was over, the people {smile:d}, clapped and threw {flower:s}.
At the end even the {job} {sob:d}, because it had been so {nice}.
Everyone stood up and clapped, and {a} {small} child gave {him} {a} {flower}.
@glad
:
"You were {nice}!" {shout:d} {E} %how.
"It was [easier|better|more fun] when we did it together," {H} said to {F} %how.
{H} learned that {a} {afraid} heart can still play {a} {nice} song.
@meal?
@night?

# H=child F=child E=kin O=toy C=hue T=town G=game P=outdoors
:title
The Quarrel
{H} and {F} Make Up
The {C} {O}
I Am Sorry
@open @love?
:
{his} best friend was {F}, who lived next to the {building} and liked {treat:s} and {game}.
{H} and {F} did everything together, and every {weekday} they played {G} by the {P}.
Next door lived {F}, {a} {trait} {F:lad} with {a} {farm} and {number} {toy:s}.
/
:
%day, {H} and {F} both wanted to play with the same {C} {O}.
%day, they found {a} {C} {O} beside {a} {tree} in the {P}.
%day, {E} gave the two of them {a} {C} {O} to share.
:
"I saw it first!" {shout:d} {H} %angry. {F} only held the {O} [tighter|harder|closer] and would not let go.
"It is mine!" {shout:d} {F} %angry. {H} pulled at one side, and {F} pulled at the other like {a} {farm}.
{H} pulled {manner:ly}, {F} pulled {manner:ly}, and neither of them would let go of the {O}.
:
{noise} went the {O}, and it {breakdown:d}.
They pulled so hard that the {O} {breakdown:d}, and both fell down on {a} {natural}.
With {a} {loudness} sound the {O} slipped away and fell into {a} {size} hole under {a} {tree}.
:
"I will never play with you again!" {shout:d} {F} %angry. {F:he} {move:d} home past the {building}.
"You always want everything!" {shout:d} {H} %angry. {he} {move:d} home without looking at the {flower:s}.
{F} {move:d} away {glum:ly}, and {H} {move:d} away {glum:ly}, and nobody said goodbye.
/
:
At home {H} played {game} alone, but it was no fun without {F}, and {he} felt {blue}.
The {room} was quiet, {H}'s {mass} got cold, and not even {a} {treat} tasted good.
{he} {look:d} at {a} picture of {F} and {a} {animal}, and {he} felt {blue}.
:
"What would make it right again?" asked {E} %how.
{E} gave {him} some {drink} and said {manner:ly}, "Which do you miss more, the {O} or {F}?"
"A toy lasts {a} {season}," %said {E} %how, "but {a} friend can last as long as {a} {tree}."
:
{H} thought about it for {number} minutes, and then {he} {make:d} {a} {colour} card for {F}.
So {H} took {a} {tool} and some {stuff}, and {he} {mend:d} the {O} as well as {he} could.
{H} put {number} {treat:s} into {a} {looks} {container} and put on {his} {hue} {wear}.
/
:
Halfway to {F}'s house, near {a} {tree}, {he} met {F}, who had {a} {container} in {F:his} hands.
When {he} opened the door to go, there stood {F} with {a} {quality} {flower}.
{F} was sitting beside {a} {furniture} in front of the house, and {F:he} looked just as {blue}.
:
"I am sorry," they both said at once, {manner:ly} and {manner:ly}, and then they {smile:d}.
"I am sorry that I pulled," %said {H} %low.~"And I am sorry that I shouted," {F} %said %how.
"You are more to me than {count} {toy:s}," %said {H} %how.
:
They took turns with the {O}, and {F} counted to {count} each time.
First it was {H}'s turn and then {F}'s, and while one played, the other {eat:d} {a} {treat}.
Then they {move:d} to the {P} and played {G} until it was [dark|late|time for supper].
/
:
{H} learned that {a} {small} sorry can mend {a} [big|long|loud|bitter|silly] quarrel.
"Sharing {a} thing makes it {fine:er}," {F} %said %how, and {H} {smile:d}.
The {O} is {a} little [worn|bent|scratched|dusty|battered|crooked|faded|patched] now, but the friendship is as [strong|warm|true|firm|close] as ever.
@friends?

# H=child F=child E=kin V=coach O=container M=town T=town P=outdoors N=gentleman
:title
The Letter in the {O}
A Message from {M}
{H} and the {V}
The Journey to {M}
@open @love?
/
:
%day, {H} and {F} found {a} {looks} {O} by the {P}, and in it was {a} letter from {year}.
%day, the {P} was {place}, and {H} saw {a} {looks} {O} with {a} letter in it.
%day, while {H} was {clean:g} {a} {furniture} in the {room}, {a} letter fell out of {a} {looks} {O}.
:
The letter said that {a} {job} named {N} of {M} had hidden {a} treasure near {number} {tree:s}.
"Whoever finds this," it said, "should come to {M} and ask for {N} the {job}."
In {size} letters {a} {job} had written, "Please bring this to {N} in {M}, at number {house} {^tree} Street."
:
"We must go there!" {shout:d} {F} %how.
"Let us take {a} {V}," %said {F} %how. "{E} can come with us."
{H} showed it to {E}, who {smile:d} {manner:ly} and said, "Then we had better take {a} {V} and {a} {container} of {drink}."
"{M} is not far," %said {E} %how, "and {a} {V} can take us there before {weekday}."
{E} read it {manner:ly}, {smile:d}, and went to find {a} {looks} {V} for the three of them.
/
:
So they packed {mass}, {fruit:s} and {a} {gadget} and set off in {a} {V}.
They put {treat:s} and {a} {cup} of {drink} into {a} {container}, and [toot|honk|zoom|whoosh|vroom], off went the {V}.
At {number} o'clock they started, with {a} map, {a} {gadget} and {number} {treat:s}.
:
They passed {a} {place} {outdoors} where {animal:s} were {animalact:g}, and {a} {building} with {a} {colour} roof.
On the way they saw {bird:s}, {number} {building:s} and {a} {job} on {a} {size} {vehicle}.
From the window {H} counted {count} {farm:s} and {number} {building:s}.
@town?
:
But near {town} the road was blocked by {a} {size} {tree}, and the {V} stopped.
But then {a} wheel of the {V} {breakdown:d}, and they stood in the middle of {a} {place} {outdoors}.
But in the middle of {a} {place} {outdoors} they lost their way, and even the map looked {blue}.
/
:
"What do we do now?" asked {F} %low.
{F} {sob:d} and said {glum:ly}, "Now we will never get to {M}."
{H} felt {afraid}, for it was getting [dark|late|cold|foggy], and far away {sound}.
:
"Let us think {manner:ly}," %said {H} %how. "I have {a} {tool}, and you have some {stuff}."
{H} climbed onto {a} {natural}, {look:d} around and saw the light of {a} {building}.
Just then {a} {trait} {job} with {a} {farm} came by, and {H} asked {manner:ly} for help.
:
With {a} {tool} and {stuff} they worked {manner:ly}, and after {number} hours the {V} rolled on.
Everyone helped, even {a} {job} who came by with {a} {tool}, and soon they were on the road again.
/
:
In {M} an old man in {a} {hue} {wear} opened the door, and it was {N}.
At number {house} {^tree} Street, {N} {look:d} at the letter, and tears came into his eyes.
The people of {M} showed them the way, past the {building}, to {a} {looks} house where {N} lived.
:
"I wrote this when I was {age} years old," {N} %said %how, "and I have waited for an answer ever since."
"My brother wrote it," %said {N} %how, "and I thought that it was lost near the {outdoors}."
:
The treasure was {a} {container} of {keepsake:s}, {keepsake:s} and {a} photograph of {a} {colour} {vehicle}.
He gave them {taste} {treat:s} with {drink}, and he told them {story:s} about {T} in {year}.
He showed them {a} {looks} {keepsake} and let {H} and {F} play his {instrument}.
@glad
:
{H} learned that the {fine:est} treasure at the end of {a} road is {a} new friend.
Every {month} since then, {a} letter goes from {T} to {M}, and another one comes back with {a} {flower} in it.
@night?
"#;
