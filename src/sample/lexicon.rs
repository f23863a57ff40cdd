//! The word lists of the story writer. A word that ends in `:` opens a class, an underscore stands for a
//! space, and forms that the spelling rules would get wrong are written out behind slashes.

/// Names, phrases and other words of one form.
pub const PLAIN: &str = "
girl: Lily Mia Anna Zoe Emma Rosa Amina Mei Priya Sofia Nora Ella Lucy Maya Ruby Clara Alice Ivy Hana Leila
Ines Freya Ada Elsa Greta Ingrid Astrid Sigrid Zara Aisha Fatima Yasmin Noor Layla Salma Mariam Nadia Samira
Zainab Ananya Diya Kavya Lakshmi Meera Nisha Pooja Radha Sita Tara Uma Asha Yuki Sakura Aiko Emi Keiko Naomi
Rin Suki Hyejin Jiwoo Minji Soojin Lan Linh Mai Thuy Xiu Ying Lihua Chunhua Adaeze Amara Chioma Ngozi Ife
Yewande Abena Akua Esi Efua Makena Wanjiku Zuri Nia Thandi Naledi Lerato Zola Camila Lucia Elena Marisol
Paloma Pilar Valentina Ximena Carmen Isabel Beatriz Luisa Marta Renata Chiara Giulia Bianca Francesca
Ginevra Colette Margot Amelie Odette Sylvie Renée Zoë Chloé Anouk Femke Lotte Saskia Katya Olga Svetlana
Irina Milena Zofia Agnieszka Hanna Ludmila Ilona Eszter Maeve Niamh Siobhan Aoife Bronwen Carys Rhiannon
Isla Iona Catriona Leilani Kalani Moana Aroha Anahera Aiyana Winona Kaya Miriam Talia Shira Dalia Esther
Ruth Hattie Poppy Daisy Matilda Harriet Penelope Phoebe Winnie Dorothy Edith Mabel Florence Josephine
Cordelia Juniper Olive Abigail Adriana Agnes Alba Alma Amy Anya Ariadne Audrey Aurora Beatrice Bella Betty
Brigid Celeste Chantal Constance Delia Dina Eleanor Elise Eva Fiona Flora Gemma Grace Heidi Helena Imani
Irene Jasmine Joan Julia Karin Kirsten Laura Lena Linnea Lorna Lydia Marina Martha Mathilde Mina Molly Myra
Nell Nina Oksana Paula Petra Rachel Rania Rebecca Rosalind Roxana Sabine Sadie Selma Signe Simone Stella
Susan Tamar Tessa Thelma Tilda Ursula Vera Victoria Wendy Yara Yvonne
boy: Tom Ben Max Sam Leo Tim Jack Omar Kofi Hugo Finn Theo Noah Ravi Luca Mateo Oscar Felix Henry Arthur
Milo Jonas Emil Lars Nils Sven Anders Bjorn Soren Magnus Ali Hassan Ibrahim Yusuf Karim Tariq Rashid Bilal
Jamal Malik Idris Arjun Rohan Vikram Sanjay Anil Kiran Nikhil Dev Ishaan Aarav Hiro Kenji Takashi Haru Ren
Daichi Kaito Minho Jinwoo Seojun Taeyang Bao Duc Khoa Minh Wei Jun Feng Haoran Chen Emeka Chidi Obi Tunde
Segun Kwame Kojo Yaw Kamau Otieno Jabari Juma Sipho Thabo Mandla Tendai Diego Javier Pablo Miguel Rafael
Santiago Emilio Joaquin Andrés José Raúl Tomás Paulo Thiago Marco Enzo Giovanni Lorenzo Matteo Antoine
Bastien Etienne Gaston Olivier Pascal Remy Thierry Noé André Jasper Bram Maarten Joost Ivan Dmitri Boris
Mikhail Pavel Marek Janek Kacper Stefan Laszlo Zoltan Bence Cian Declan Eoin Ronan Seamus Dylan Emrys Gareth
Rhys Callum Hamish Ewan Angus Kai Keanu Koa Tane Wiremu Takoda Ezra Eli Asher Levi Micah Amos Gideon Wilbur
Walter Stanley Archie Alfie Barnaby Cedric Desmond Ernest Frederick George Harvey Jasiel Kenneth Lionel
Monty Nigel Percy Quentin Rupert Sebastian Toby Victor Wesley Xavier Zachary Abdul Adam Albert Alec Anton
Aron Axel Basile Bernard Bruno Caleb Carlos Charlie Conrad Daniel Darius David Dominic Edgar Edmund Edward
Elias Erik Fabian Farid Fergus Francis Gabriel Gilbert Gregor Gus Harold Hector Herbert Hubert Isaac Jacob
James Jerome Joel Joseph Julian Julius Karl Kevin Laurence Leon Leonard Louis Lucas Malcolm Martin Maurice
Nathan Neil Nicholas Norman Orlando Osman Otto Patrick Peter Philip Ralph Raymond Reuben Robert Roland Samir
Simon Solomon Stephen Thomas Tobias Ulrich Vincent Vladimir Warren William Yannick
pet: Pip Bramble Hazel Dusty Pebble Biscuit Nutmeg Clover Thistle Rusty Acorn Button Fern Mossy Patch
Whisker Tumble Pepper Ginger Sorrel Basil Cricket Dapple Ember Fidget Gizmo Huckle Inky Jolly Kip Lolly
Mumble Nibbles Oakley Pogo Quill Ripple Scamper Snuffle Tansy Twig Umber Velvet Waffle Wink Yarrow Zigzag
Ziggy Bobbin Cinder Dumpling Fluff Freckle Truffle Hickory Jingle Maple Muffin Noodle Pickle Pumpkin Rumpus
Saffron Socks Sprout Teasel Toffee Widget Willow Bumble Crumpet Flicker Puddle Scout Snowdrop Sparky
Tuppence Whistler Barley
kinf: Grandma Mama Mum Granny Nana Grandmother Auntie Aunt_Rosa Aunt_Mei Aunt_Clara Aunt_Edith Aunt_Nadia
Aunt_Amara Aunt_Ingrid Aunt_Pilar Aunt_Florence Aunt_Matilda Aunt_Josephine Aunt_Svetlana Aunt_Leilani
Mother
kinm: Grandpa Papa Dad Grandad Grandfather Uncle_Joe Uncle_Kwame Uncle_Ravi Uncle_Oscar Uncle_Pablo
Uncle_Sven Uncle_Boris Uncle_Hamish Uncle_Wilbur Uncle_Desmond Uncle_Kenji Uncle_Ernest Uncle_Giovanni
Uncle_Tariq Father
surname: Brown Lopez Green Kim Miller Patel Okafor Silva Novak Hansen Rossi Tanaka Ahmed Cohen Murphy
Schmidt Ivanov Nguyen Baker Carter Fisher Potter Thatcher Weaver Shepherd Gardner Taylor Turner Wheeler
Mason Cooper Fletcher Hunter Archer Butler Chandler Draper Glover Harper Marsh Woods Rivers Fields Hill
Brooks Banks Stone Frost Snow Winters Summers Day Knight King Bishop Abbott Bell Drummond Finch Sparrow
Swann Crane Drake Peacock Partridge Nightingale Wolfe Foxley Lamb Bullock Haddock Pike Salmon Rose Lavender
Flores Bloom Moss Heath Birch Oakes Ashworth Elmwood Hawthorne Appleby Perry Plum Cherryman Pepperidge
Honeycutt Sugarman Butterfield Whitaker Blackwood Redfern Greyson Goldberg Silverman Copperfield Ironside
Steele Diamond Jewell Pearl Garcia Martinez Hernandez Santos Oliveira Pereira Costa Moreau Dubois Laurent
Lefevre Janssen Bakker Visser Larsen Nilsson Lindqvist Virtanen Kowalski Nowak Horvath Popescu Petrov Volkov
Papadakis Yilmaz Demir Haddad Mansour Rahman Chowdhury Sharma Gupta Reddy Nair Wong Chang Zhao Sato Suzuki
Nakamura Park Choi Tran Pham Santoso Mensah Asante Diallo Traore Mwangi Njoroge Dlamini Kealoha Begay Adams
Alvarez Anderson Armstrong Atkinson Bailey Barnes Bauer Becker Bennett Bergman Berry Blake Bosch Bradley
Brennan Briggs Burton Calloway Campbell Castillo Chavez Clarke Collins Cortez Crawford Cruz Dawson Delgado
Dixon Doyle Duarte Duncan Eriksson Espinoza Evans Farrell Fernandez Ferrari Fitzgerald Fontaine Foster
Franklin Gallagher Gibson Gonzalez Goodwin Graham Griffin Hamilton Harrison Hayes Henderson Hoffman Holloway
Hughes Hussain Iqbal Ishikawa Jackson Jensen Johansson Jones Kaplan Keller Kennedy Khan Klein Kumar Lambert
Lawson Leblanc Lewis Lindgren Lombardi MacDonald Marino Mehta Mendoza Meyer Mitchell Morales Moretti Morgan
Morris Nakagawa Navarro Nkosi Olsen Ortega Osei Owens Parker Pearson Powell Quinn Ramirez Reyes Richards
Roberts Robinson Rodriguez Romero Russell Sanchez Schneider Simmons Singh Stewart Sullivan Thompson Torres
Vargas Vasquez Wagner Walker Wallace Watanabe Weber Webster Wilkinson Williams Yamamoto Zimmerman
townhead: Willow Maple Oak Stone River Apple Green Fox Ash Brook Clear Summer Winter Bell Bright Silver Gold
Honey Cherry Clover Cold Copper Cot Crow Daisy Deer Elder Elm Fair Fern Fish Fleet Frost Glen Goose Grass
Hare Hawk Hazel Heather Hedge Hill Holly Hop Ivy Kestrel Lamb Lark Laurel Lily Linden Long Meadow Merry Mill
Mist Moon Moss Nettle North Orchard Otter Pebble Pine Plum Primrose Quail Rain Raven Red Reed Robin Rose
Rowan Rush Sand Shell Snow South Spring Star Sun Swan Swift Thistle Thorn Violet Wheat White Wind Wren
Yarrow
townend: brook ton ford bridge field dale wood ville bury ham mere wick combe haven port hurst side stead
crest gate well shore cliff leigh
sky: sunny rainy windy cloudy snowy foggy frosty bright cool warm chilly breezy misty stormy golden grey
crisp drizzly mild clear blustery sparkling gloomy still humid damp icy balmy glorious lovely quiet dull
fresh lazy
time: morning afternoon evening
weekday: Saturday Sunday Monday Friday Wednesday Tuesday Thursday
month: May June April July October September March August November December January February
season: spring summer autumn winter
number: two three four five six seven eight nine ten eleven twelve
many: twenty thirty forty fifty sixty thirteen fourteen fifteen sixteen eighteen seventeen nineteen seventy
eighty ninety
mass: soup bread rice porridge pasta stew honey jam cheese butter yogurt custard pudding popcorn toast curry
salad chowder couscous hummus jelly marmalade oatmeal ratatouille risotto spaghetti sauerkraut sushi tofu
gravy broth cornbread gingerbread shortbread granola lasagna macaroni paella gumbo fudge nougat ice_cream
apple_sauce polenta kimchi tzatziki ramen
drink: milk tea water cocoa lemonade apple_juice orange_juice ginger_ale mint_tea buttermilk cider
coconut_water hot_chocolate peach_nectar grape_juice barley_water rosehip_tea sarsaparilla
stuff: wood paper clay wool cardboard cloth string rope straw leather felt tin wire glass copper bamboo
canvas cotton velvet silk linen yarn ribbon wax stone brass iron driftwood cork tape glue sand moss bark
thread lace burlap foil denim marble plaster porcelain rubber silver wicker twine
timber: wood cardboard bamboo driftwood straw canvas clay stone tin rope wicker cloth brick plywood
coat: brown black white grey golden spotted speckled striped tan cream-coloured silver reddish sandy ginger
taste: sweet warm tasty fresh delicious crunchy creamy sticky juicy buttery spicy salty tangy crispy fluffy
golden chewy crumbly cheesy nutty fruity minty lemony sugary toasted roasted frosted glazed tender savory
velvety peppery smoky zesty luscious scrumptious mouthwatering homemade steaming yummy
fear: the_dark thunder deep_water heights loud_noises big_dogs spiders the_cellar swimming climbing the_wind
the_attic ghosts snakes crowds bats lightning bees the_dentist the_ocean shadows fireworks
under: under_the_bed behind_the_couch in_the_attic in_the_cellar behind_the_curtain under_the_porch
behind_the_barn in_the_shed under_the_stairs beside_the_well behind_the_stove inside_the_piano
on_the_windowsill beneath_the_hedge in_the_haystack near_the_gate behind_the_woodpile in_the_laundry_basket
under_the_rug beside_the_mailbox in_the_wheelbarrow behind_the_bookcase in_the_pantry among_the_pumpkins
under_the_blanket in_the_tall_grass beside_the_fountain under_the_old_bench inside_an_empty_barrel
behind_the_wardrobe in_the_flowerpot near_the_beehives in_the_toolbox under_the_doormat by_the_duck_pond
behind_the_greenhouse in_the_pocket_of_an_old_coat between_two_cushions at_the_bottom_of_a_drawer
on_top_of_the_cupboard inside_a_rubber_boot in_the_hollow_of_a_tree under_a_pile_of_leaves
game: hide-and-seek tag chess hopscotch leapfrog marbles dominoes checkers charades football basketball
badminton cricket tennis volleyball baseball hockey croquet backgammon tug-of-war musical_chairs
blind_man's_buff pirates snakes_and_ladders
subject: spelling maths reading history science geography art music poetry astronomy drawing botany
city: London Paris Lima Nairobi Tokyo Madrid Lagos Cairo Oslo Lisbon Dublin Berlin Rome Vienna Prague Athens
Delhi Mumbai Kolkata Lahore Dhaka Kathmandu Bangkok Hanoi Jakarta Manila Seoul Kyoto Osaka Shanghai Beijing
Taipei Sydney Melbourne Auckland Wellington Suva Honolulu Vancouver Toronto Montréal Boston Chicago Seattle
Denver Austin Havana Kingston Bogotá Quito Cusco Santiago Valparaíso Montevideo Asunción Brasília Recife
Salvador Caracas Panama Managua Oaxaca Veracruz Guadalajara Reykjavik Bergen Stockholm Gothenburg Helsinki
Tallinn Riga Vilnius Warsaw Krakow Budapest Bucharest Sofia Belgrade Zagreb Ljubljana Trieste Venice Naples
Palermo Valletta Barcelona Seville Porto Bordeaux Lyon Marseille Brussels Antwerp Utrecht Hamburg Leipzig
Zurich Geneva Edinburgh Cardiff Belfast Galway Tunis Algiers Marrakesh Dakar Bamako Accra Abuja Kumasi
Kampala Kigali Mombasa Zanzibar Lusaka Harare Maputo Durban Windhoek Antananarivo Istanbul Ankara Izmir
Beirut Damascus Amman Baghdad Tehran Isfahan Muscat Tbilisi Yerevan Baku Samarkand Tashkent Almaty
Ulaanbaatar Lhasa Thimphu Colombo Yangon Singapore Penang
language: Spanish French Swahili Japanese Arabic Hindi Portuguese German Italian Korean Yoruba Polish
Turkish Greek Dutch Swedish Norwegian Danish Finnish Icelandic Irish Welsh Basque Catalan Hungarian Czech
Romanian Ukrainian Persian Urdu Bengali Tamil Telugu Nepali Thai Vietnamese Malay Tagalog Hawaiian Maori
Quechua Navajo Zulu Xhosa Hausa Amharic Hebrew Armenian Georgian Mongolian Cantonese Mandarin
dance: waltz tango polka samba salsa foxtrot minuet jig reel flamenco mambo cha-cha ballet quadrille mazurka
square_dance tap_dance hula bolero rumba charleston hornpipe tarantella lindy_hop
planet: Mars Venus Jupiter Saturn Mercury Neptune Uranus Pluto Orion Sirius Polaris Andromeda Cassiopeia
Vega
skill: swim read skate whistle juggle ride_a_bicycle tie_a_knot bake_bread play_chess catch_a_ball
climb_a_rope count_to_a_hundred write_in_cursive row_a_boat ride_a_pony jump_rope build_a_fire sew_a_button
fly_a_kite milk_a_cow do_a_cartwheel read_a_map throw_a_frisbee paddle_a_canoe knit_a_scarf
fold_paper_cranes dance_the_polka ski hit_a_drum_in_time walk_on_stilts speak_Spanish tell_the_time
colour: red blue green yellow purple brown pink black white grey silver golden scarlet crimson turquoise
violet lavender indigo emerald ivory maroon beige teal amber lilac coral navy magenta olive rust-coloured
striped spotted speckled checkered
noise: splash whoosh crash bang thump pop boom clang crack squeak rattle buzz ding plop snap swish thud
rumble clatter creak drip fizz gurgle hiss jingle twang whirr zoom
cheer: Hooray Wow Look Oh Hurrah Goodness Yippee Bravo Well_done Wonderful Fantastic Amazing Marvelous
Splendid Yes At_last
sound: the_dogs_barked the_cows_mooed the_sheep_bleated the_pigs_oinked the_horses_neighed the_hens_clucked
the_ducks_quacked the_frogs_croaked the_donkeys_brayed the_cats_meowed the_goats_bleated the_geese_honked
the_roosters_crowed the_crickets_chirped the_wolves_howled the_owls_hooted the_turkeys_gobbled
the_mice_squeaked the_lambs_baaed the_puppies_yapped the_kittens_mewed the_cicadas_droned the_toads_grunted
the_ponies_whinnied the_bees_buzzed the_crows_cawed the_doves_cooed the_swans_hissed
where: here_and_there up_and_down all_around back_and_forth near_and_far far_and_wide high_and_low
";

/// Countable nouns: singular, with the plural behind a slash where `plural` would be wrong.
pub const NOUNS: &str = "
animal: fox/foxes rabbit bear squirrel mouse/mice deer/deer wolf/wolves hedgehog badger otter beaver raccoon
mole frog turtle hare chipmunk lion tiger elephant monkey giraffe zebra panda koala kangaroo hippo rhino
camel llama alpaca moose/moose elk/elk lynx bobcat cheetah leopard jaguar panther gorilla lemur meerkat
mongoose/mongooses sloth armadillo anteater porcupine skunk possum wombat weasel ferret stoat marten yak
bison/bison buffalo antelope gazelle ibex reindeer/reindeer coyote jackal warthog tapir lizard iguana
tortoise newt toad salamander chameleon crocodile vole shrew dormouse/dormice hamster gerbil platypus
wallaby chinchilla wolverine puma ocelot mandrill baboon chimpanzee orangutan penguin ostrich emu aardvark
alligator bandicoot bobtail bongo caribou civet dingo eland fennec gecko gibbon gopher groundhog guanaco
impala jerboa kudu marmot muskrat numbat pangolin polecat python quokka serval vicuña wildcat wildebeest
woodchuck zebu macaque marmoset tamarin genet lemming
baby: kitten puppy duckling lamb chick foal calf/calves piglet kid fawn cub bunny gosling owlet fledgling
cygnet joey bear_cub fox_cub baby_bird baby_squirrel leveret hatchling
farm: cow horse pig sheep/sheep goat donkey hen rooster goose/geese duck turkey pony mule ox/oxen ram ewe
cat dog sheepdog terrier poodle spaniel collie beagle tabby carthorse bull
bird: robin sparrow owl crow duck pigeon blackbird swallow dove wren finch thrush/thrushes lark magpie jay
cuckoo woodpecker kingfisher heron stork crane swan pelican seagull gull puffin flamingo parrot cockatoo
macaw toucan hummingbird nightingale starling bluebird goldfinch cardinal oriole chickadee nuthatch warbler
wagtail raven jackdaw falcon hawk kestrel eagle osprey buzzard condor vulture albatross cormorant pheasant
partridge quail grouse/grouse peacock ibis sandpiper plover curlew avocet bittern bluejay bullfinch bunting
canary cockerel coot cowbird dipper dunnock fieldfare flycatcher grebe harrier kite kittiwake kookaburra
lapwing linnet loon lorikeet mallard martin meadowlark mockingbird myna nightjar parakeet petrel pipit
ptarmigan rook shrike siskin skylark snipe spoonbill stonechat teal tern titmouse/titmice turtledove vireo
waxwing whippoorwill woodcock yellowhammer
flyer: bee butterfly ladybug dragonfly moth bumblebee firefly wasp mosquito gnat fly honeybee hornet mayfly
midge
bug: ant spider snail worm beetle caterpillar cricket grasshopper centipede millipede earwig mantis/mantises
slug weevil earthworm woodlouse/woodlice
sea: fish/fish crab whale dolphin shark seal octopus starfish/starfish jellyfish/jellyfish lobster
shrimp/shrimp seahorse clam oyster squid/squid eel trout/trout salmon/salmon cod/cod tuna/tuna sardine
herring stingray walrus manatee narwhal porpoise anemone urchin barnacle minnow goldfish/goldfish
perch/perch swordfish/swordfish crayfish/crayfish
creature: dragon fairy giant wizard witch/witches unicorn elf/elves mermaid troll gnome goblin dwarf/dwarves
phoenix griffin ghost pixie sprite genie ogre knight princess/princesses prince queen king
fruit: apple pear plum peach cherry strawberry banana grape orange lemon melon berry blueberry raspberry
blackberry apricot mango pineapple coconut kiwi fig lime papaya pomegranate tangerine watermelon grapefruit
guava nectarine cranberry gooseberry mulberry elderberry persimmon lychee quince clementine avocado currant
date plantain
veg: carrot potato tomato pumpkin onion pea bean cabbage cucumber radish/radishes turnip beet leek pepper
mushroom cauliflower lettuce eggplant parsnip artichoke squash/squashes zucchini marrow lentil chickpea
shallot jalapeño courgette yam
treat: cookie cake pie muffin pancake cupcake sandwich doughnut biscuit bun waffle tart brownie bagel
pretzel scone cracker croissant dumpling taco burrito pizza sausage meatball omelet egg gumdrop lollipop
caramel toffee marshmallow peppermint jellybean macaroon éclair crêpe samosa falafel empanada tortilla
strudel turnover crumpet flapjack gingersnap meringue popsicle truffle quiche pastry honeycomb mooncake
churro cinnamon_roll almond_cookie baguette banana_split beignet blini/blinis bonbon bread_roll breadstick
butterscotch cannoli/cannoli caramel_apple carrot_cake cheesecake chimichanga cobbler cream_puff crouton
custard_tart date_bar drumstick enchilada fig_roll focaccia/focaccias fortune_cookie frankfurter fritter
fruitcake garlic_knot gingerbread_man/gingerbread_men granola_bar hamburger hot_cross_bun hush_puppy
jam_tart johnnycake lamington lebkuchen/lebkuchen lozenge macaron madeleine marzipan_pig milkshake
mille-feuille mint oatcake pakora panini/paninis parfait pavlova petit_four pierogi/pierogi pita popover
praline profiterole pudding_cup quesadilla rice_cake rusk sherbet shortcake snickerdoodle soufflé
spring_roll stroopwafel sundae teacake tiramisu toffee_apple torte wafer yam_cake
toy: ball kite doll teddy_bear toy_train top drum puppet robot toy_boat yo-yo puzzle balloon marble
toy_truck block rattle rocking_horse dollhouse jigsaw slingshot hoop frisbee toy_soldier toy_rocket pinwheel
kaleidoscope boomerang skipping_rope music_box spinning_top paper_plane toy_dinosaur marionette
stuffed_rabbit toy_car domino water_pistol snow_globe piñata trumpet whistle rag_doll toy_tractor
wind-up_mouse/wind-up_mice jack-in-the-box/jack-in-the-boxes
keepsake: ring key coin button locket book watch/watches necklace letter map bell feather shell compass
brooch bracelet diary medal ribbon pocket_knife/pocket_knives pendant thimble telescope magnifying_glass
postcard photograph stamp badge notebook sketchbook pencil_case fountain_pen paintbrush penny bookmark charm
figurine hourglass lantern mirror music_book seashell trophy whistle crayon charm_bracelet horseshoe
arrowhead fossil crystal gem pearl ruby sapphire acorn pinecone amulet medallion cameo teacup music_stand
monocle abacus/abacuses almanac anklet atlas/atlases autograph_book barrette bead candlestick catapult
chess_piece clothbound_book cufflink cuckoo_clock/cuckoo_clocks doorknob egg_cup eggshell emerald
envelope_opener flower_press/flower_presses geode globe goblet hair_clip handkerchief inkwell jewel keychain
lace_fan ladle locket_chain matchbox/matchboxes memento metronome money_box/money_boxes moonstone nutshell
opal padlock paperweight parasol peacock_feather pin playing_card pocket_watch/pocket_watches prism quill
ribbon_rosette sandglass/sandglasses scrapbook scroll seal snuffbox/snuffboxes souvenir spyglass/spyglasses
sugar_bowl sundial tassel tea_tin token topaz/topazes trinket walnut_shell weathercock wooden_spoon
tool: hammer saw shovel rake broom bucket rope ladder nail screwdriver wrench drill paintbrush needle spade
hoe wheelbarrow watering_can axe/axes chisel mallet trowel sponge mop brush/brushes ruler crowbar lantern
flashlight clamp hook pulley lever pump hose sieve funnel pitchfork sickle tape_measure toolbox vise awl
crank thermometer anvil auger bolt brace broomstick bradawl caliper cleaver clothespin compass cutter duster
dustpan feather_duster fishing_rod fork gimlet grater grinder handsaw hatchet jack
kitchen_knife/kitchen_knives ladle magnet mattock nutcracker oar oilcan paddle paint_roller peeler
penknife/penknives pestle pickaxe/pickaxes plane plunger pruner rasp rolling_pin sander scale scraper scythe
sewing_machine spanner spatula spirit_level squeegee strainer toasting_fork trivet tweezer vacuum whisk
winch wire_brush
instrument: piano guitar drum flute violin trumpet harp banjo cello recorder clarinet ukulele harmonica
accordion tambourine xylophone saxophone trombone tuba oboe bassoon mandolin fiddle triangle cymbal gong
maraca lute bagpipe lyre bugle piccolo marimba sitar zither castanet kazoo dulcimer concertina viola
balalaika tabla didgeridoo alphorn bongo celesta clavichord conga cornet djembe euphonium fife flugelhorn
glockenspiel harpsichord hurdy-gurdy kalimba kettledrum koto melodica musette ocarina organ panpipe
penny_whistle shamisen squeezebox steel_drum sousaphone synthesizer tin_whistle timpani_drum theremin
vibraphone washboard zurna
wear: hat coat scarf/scarves sweater jacket dress/dresses shirt cap cape apron vest skirt cloak raincoat
bonnet blouse tunic robe beret poncho kimono sari cardigan jumper hood uniform costume crown veil shawl
turban fez sash/sashes T-shirt nightgown waistcoat parka kilt pullover sombrero helmet gown anorak balaclava
bandana baseball_cap bathrobe blazer boa bodice bow_tie cloche cummerbund dashiki deerstalker derby fedora
fleece frock garland headscarf/headscarves jerkin jersey kaftan kerchief leotard muffler neckerchief
nightcap nightshirt overcoat pinafore plaid_shirt raincape ruff sarong shirtwaist sunbonnet
sundress/sundresses sunhat swimsuit tabard tam-o-shanter tiara top_hat trench_coat tutu tweed_jacket
windbreaker wooly_hat
pair: boot shoe sock mitten glove slipper sandal sneaker earring skate legging clog moccasin earmuff
vehicle: car bus truck train boat bicycle wagon van cart tractor sled tricycle scooter canoe ship ferry raft
kayak rowboat sailboat airplane helicopter hot-air_balloon fire_engine ambulance taxi tram steamboat
submarine sleigh carriage bulldozer motorcycle trolley barge tugboat yacht gondola streetcar caravan jeep
digger rocket glider skateboard unicycle minivan locomotive rickshaw dinghy
coach: car bus van cart wagon truck taxi jeep minivan carriage caravan motorcar pickup station_wagon
horse_cart
tree: oak maple apple_tree pine willow birch/birches elm cherry_tree cedar fir ash/ashes beech/beeches
chestnut poplar spruce hazel walnut_tree palm olive_tree fig_tree sycamore hawthorn rowan aspen cypress
redwood hemlock larch/larches juniper magnolia baobab eucalyptus plum_tree lemon_tree alder linden acacia
banyan mahogany hickory
flower: rose daisy tulip sunflower lily violet poppy daffodil buttercup bluebell marigold pansy iris/irises
orchid lavender_bush/lavender_bushes snowdrop dandelion geranium petunia hyacinth carnation peony primrose
foxglove lilac crocus/crocuses begonia dahlia zinnia hollyhock honeysuckle jasmine_vine cornflower
forget-me-not hibiscus camellia azalea chrysanthemum morning_glory snapdragon thistle aster gardenia
nasturtium hydrangea alyssum amaryllis/amaryllises anemone bergamot bluebonnet campion candytuft
clematis/clematises columbine coneflower cowslip cyclamen delphinium edelweiss/edelweiss freesia fuchsia
gladiolus/gladioli heliotrope impatiens/impatiens larkspur lotus/lotuses lupine mallow magnolia
narcissus/narcissi oleander oxeye pasqueflower periwinkle phlox/phlox plumeria primula ranunculus/ranunculi
sweet_pea trillium verbena wallflower water_lily wisteria yarrow
natural: stone leaf/leaves stick rock pebble log branch/branches shell twig root acorn pinecone feather
petal vine thorn seed fern reed mushroom
sight: hill dune rainbow cloud star boulder burrow nest puddle cobweb snowflake raindrop dewdrop icicle
bush/bushes comet planet volcano iceberg canal tunnel staircase carousel fountain sunrise sunset moonbeam
sunbeam shooting_star thunderbolt wave tide ocean continent galaxy treetop rooftop chimney drawbridge maze
statue flagpole archipelago avalanche beacon blizzard bridge cathedral cave cloudburst constellation
coral_reef crater crossroads/crossroads delta eclipse/eclipses estuary fjord frontier geyser gorge hailstone
heatwave horizon inlet isthmus/isthmuses lake_shore landslide marketplace meteor milestone minaret monument
mountaintop northern_light pathway peninsula plateau pyramid ravine reservoir riverbed sandbank sandstorm
satellite shipwreck signpost skyline skyscraper snowdrift spire stalactite stepping_stone swamp temple_bell
terrace totem_pole trail tundra turret viaduct village_pump vista watchtower waterwheel whirlpool whirlwind
windmill_sail woodland
habitat: forest meadow garden field valley marsh/marshes glade clearing orchard jungle thicket grove park
pasture wetland hollow wood moor vineyard bamboo_forest oasis/oases
building: house school shop barn cottage library bakery church/churches castle mill tower lighthouse market
station museum theater hotel hospital bank farmhouse cabin palace temple inn stable windmill greenhouse tent
hut post_office fire_station bookshop café factory mosque pagoda chapel boathouse workshop observatory
warehouse bungalow gallery dairy toyshop courthouse igloo mansion gazebo
room: kitchen bedroom attic cellar porch/porches hall pantry nursery garage bathroom dining_room study
balcony parlor laundry playroom classroom corridor studio shed
outdoors: park garden meadow field forest beach/beaches pond orchard playground river lake hill stream
valley farm riverbank clearing pasture marsh/marshes harbor vineyard canyon cliff island bay mountain cove
glade hillside lagoon wharf/wharves desert jungle moor dock pier village_square quarry oasis/oases prairie
waterfall cornfield campsite courtyard glacier grove heath thicket wetland plaza bamboo_forest sand_dune
footpath crossroads/crossroads railway
furniture: table chair bed shelf/shelves desk bench/benches couch/couches cupboard wardrobe stool armchair
lamp dresser bookcase sofa rocking_chair cradle hammock mattress/mattresses footstool cabinet bunk drawer
sideboard nightstand
container: box basket bag jar bottle bowl pot pan cup barrel bucket chest suitcase backpack sack tin crate
trunk vase jug pitcher kettle tray plate mug teapot envelope purse satchel casserole hamper flask saucepan
cauldron canister briefcase goblet thermos/thermoses
worktool: hammer saw shovel rope ladder screwdriver wrench drill mallet chisel ruler crowbar clamp
paintbrush handsaw pickaxe plane tape_measure spirit_level spade plank axe/axes hatchet
vessel: bowl basket jar bag box bucket tray plate sack tin crate pot hamper dish/dishes pail platter
saucepan casserole
cup: cup mug glass/glasses jug pitcher teapot bottle flask goblet thermos/thermoses kettle tumbler carafe
beaker canteen
limb: hand knee finger foot/feet leg arm ankle shoulder elbow toe
job: baker farmer teacher doctor nurse gardener carpenter tailor fisherman/fishermen shepherd sailor painter
librarian postman/postmen firefighter policeman/policemen cook builder miller blacksmith cobbler potter
weaver captain pilot vet musician dancer singer actor writer poet clown juggler magician scientist inventor
engineer mechanic plumber electrician astronaut dentist barber butcher grocer florist jeweler clockmaker
locksmith beekeeper lighthouse_keeper park_ranger bus_driver mail_carrier photographer zookeeper waiter
violinist sculptor mapmaker toymaker shopkeeper innkeeper ferryman/ferrymen woodcutter stonemason watchmaker
bookbinder glassblower basket_maker architect explorer archaeologist astronomer botanist acrobat ballerina
conductor detective diver judge mayor nanny optician pharmacist reporter surgeon translator umpire
accountant animal_trainer apothecary auctioneer baggage_porter bellringer bricklayer cabinetmaker
candlemaker caretaker cartoonist cheesemaker chemist chimney_sweep coach composer confectioner cooper
courier cowherd crossing_guard dairymaid dressmaker driver drummer editor farmhand ferry_captain flutist
forester gamekeeper geologist goatherd goldsmith guitarist gymnast harpist hatmaker herbalist historian
housekeeper ice_cream_seller illustrator janitor lawyer lifeguard lumberjack mathematician merchant
midwife/midwives miner navigator ornithologist organist paperboy peddler pianist piper postmaster printer
puppeteer roofer saddler scholar seamstress shoemaker signalman/signalmen silversmith soldier spinner
storyteller street_sweeper surveyor swimmer tinker trumpeter tutor typist upholsterer usher violin_maker
wheelwright window_cleaner woodcarver zoologist
project: treehouse birdhouse raft fort sandcastle snowman/snowmen go-kart scarecrow bridge swing doghouse
wagon dam rabbit_hutch/rabbit_hutches windmill stage tent seesaw lemonade_stand playhouse snow_fort
puppet_theater weather_vane bird_feeder sundial boat bookshelf/bookshelves toy_chest igloo rocket telescope
clubhouse toboggan catapult well
craft: basket scarf/scarves blanket bowl quilt mask lantern card kite necklace hat crown vase puppet
picture_frame mug candle cushion bracelet flag poster paper_crane birdhouse bookmark wreath rug mosaic
collage sculpture tapestry mobile plate teapot walking_stick toy_boat garland banner calendar doll pillow
tablecloth pot_holder portrait
event: fair picnic party parade festival concert market wedding dance circus/circuses school_play birthday
feast carnival puppet_show contest holiday harvest_supper bonfire flower_show magic_show snowball_fight
bake_sale regatta recital sleepover barbecue lantern_walk treasure_hunt sports_day
magic: lamp wand mirror stone seed pot flute paintbrush bell pair_of_boots/pairs_of_boots carpet ring key
book cloak teapot pencil umbrella compass feather hat drum locket acorn broom clock crystal_ball bottle
spoon whistle thimble needle harp snow_globe
body: hand foot/feet finger knee ear nose toe elbow shoulder cheek eye chin thumb ankle
shape: star heart circle square moon triangle diamond spiral crescent oval rectangle zigzag
story: story song poem joke riddle tale rhyme lullaby fairy_tale legend ballad limerick fable nursery_rhyme
";

/// Verbs: base form, then past and -ing where the rules would be wrong.
pub const VERBS: &str = "
move: walk run/ran hurry skip hop march wander stroll race dash tiptoe rush jog gallop trot scamper scurry
stomp stride/strode trudge plod creep/crept bounce dance leap sprint zoom roam hike shuffle scramble sneak
hustle meander parade prance ramble saunter scuttle scoot stumble tramp
roam: crawl climb slide/slid fly/flew swim/swam hobble toddle drift roll charge tumble skate waddle
zigzag/zigzagged/zigzagging travel dive dig/dug leap/leapt swing/swung spin/spun dodge pounce burrow
somersault sprint lope slither prowl paddle
say: say/said whisper explain add murmur announce declare remark insist observe
shout: call shout cry exclaim cheer announce gasp squeal yell say/said whisper whoop
smile: smile laugh giggle grin chuckle beam hum nod clap wink wave
sob: cry sob weep/wept sniffle frown sigh tremble pout whimper sulk wail moan shudder whine scowl grumble
gulp
look: look stare gaze peek glance peer gape squint blink
keep: keep/kept hold/held carry hug clutch treasure polish wrap draw/drew admire lift squeeze love show
cherish dust examine tap touch shake/shook guard hide/hid balance brush toss pack pat stroke unwrap grab
collect study inspect cradle hoist label paint sketch borrow display swing/swung twist spin/spun/spinning
drop rub
build: build/built make/made finish design plan measure paint assemble construct start decorate complete
invent create sketch improve test
make: make/made paint sew knit weave/wove carve draw/drew fold decorate mold stitch cut/cut/cutting glue
shape design embroider sculpt finish trim varnish sand crochet engrave
mend: mend fix repair patch glue sew rebuild/rebuilt restore fasten straighten rescue
clean: clean sweep/swept scrub wash dust polish mop tidy rinse wipe paint whitewash
cook: cook bake make/made prepare fry decorate frost whip_up dish_up serve
chop: chop mix peel slice boil roast toast knead whisk grill steam simmer taste spread/spread season blend
dice mash grate pickle
toil: work hammer saw build/built paint measure plan drill sand
eat: eat/ate share taste nibble munch enjoy gobble devour finish chew sample crunch relish
animalact: sleep/slept doze sniff yawn stretch wander play snore rest nap hide/hid snuffle romp stir wait
listen dream drink/drank munch nibble nod scratch roll_over blink chew snooze forage
birdact: sing/sang chirp twitter flutter call whistle squawk hoot coo/cooed perch preen warble nest roost
tweet cackle honk caw screech
soar: fly/flew soar glide circle swoop hover flutter flap dart sail wheel dive swerve skim
sprout: grow/grew sprout bloom spread/spread blossom ripen flourish thrive/thrived swell stretch unfurl
climb
flyact: buzz hum flutter hover dance drift dart circle whirr/whirred zigzag/zigzagged/zigzagging
bugact: crawl hurry creep/crept rest march wander hide/hid climb wriggle squirm
seaact: hide/hid drift rest float glide swim/swam
wind: blow/blew howl whistle roar moan sigh rush whirl rattle_the_windows shake/shook_the_trees whip
sing/sang gust swirl
shine: shine/shone glow twinkle sparkle glitter gleam shimmer flicker glimmer blink glisten glint flash
dazzle
plantact: sway nod wave bend/bent rustle stir tremble shiver glisten dance whisper glow
garden: water weed plant dig/dug rake prune harvest hoe trim feed/fed
help: help comfort thank teach/taught follow hug trust praise encourage greet guide cheer join remember
visit welcome admire forgive/forgave warn/warned calm invite protect rescue surprise
try: try practice fail stumble wobble fall/fell wait rest think/thought listen count read/read watch learn
dream wonder breathe study train balance concentrate improve hesitate
breakdown: break/broke crack snap split/split/splitting shatter rip tear/tore bend/bent crumble tip_over
fall/fell_apart come/came_loose collapse topple
";

/// Adjectives. The comparatives are right in the classes from `size` to `fast`.
pub const ADJECTIVES: &str = "
trait: kind brave curious clever cheerful gentle friendly playful shy honest lively quiet thoughtful bold
funny helpful polite patient careful stubborn adventurous bright caring creative daring dreamy eager earnest
energetic faithful fearless generous good-natured graceful hardworking imaginative independent inventive
joyful kindhearted lovable loyal mischievous modest naïve neat noble observant optimistic organized plucky
practical quick-witted reliable resourceful restless sensible sincere sleepy spirited steady sturdy sweet
talkative tenderhearted thrifty trustworthy warmhearted whimsical wise witty zany affectionate ambitious
agreeable bookish bouncy brainy bubbly chatty chirpy clear-headed considerate cooperative courageous
courteous dependable determined diligent easygoing enterprising fair-minded fun-loving gallant gifted
hopeful humble impulsive industrious keen lighthearted mild-mannered nimble obedient openhearted outgoing
perceptive persistent persuasive philosophical plainspoken poised punctual quirky rambunctious resolute
rowdy scholarly sensitive sharp-eyed skillful softhearted soft-spoken spunky studious sympathetic tactful
talented tenacious tidy tireless trusting unselfish valiant vivacious watchful well-mannered zealous
glad: happy glad proud pleased excited thankful delighted joyful cheerful grateful merry content overjoyed
thrilled hopeful relieved jolly amazed satisfied ecstatic elated enchanted tickled cozy lucky peaceful
blissful radiant jubilant triumphant
blue: sad upset worried lonely unhappy disappointed gloomy miserable cross tearful ashamed sorry heartbroken
hurt downhearted glum grumpy jealous puzzled troubled confused discouraged forlorn guilty homesick hopeless
restless weary dismayed frustrated sorrowful crestfallen mournful
afraid: scared afraid frightened nervous anxious timid fearful terrified alarmed uneasy shaky startled tense
worried
small: small little tiny wee young plump round dainty miniature
big: big large huge tall great enormous giant long wide giant-sized gigantic massive vast mighty immense
towering colossal
size: big small tall large wide long short thick thin round broad high deep tiny narrow great slim heavy
grand huge
better: strong brave bold bright calm happy warm kind merry wise sure quick healthy rosy jolly lively proud
sweet gentle cheery sturdy perky peppy
fine: pretty fine rare shiny lovely bright neat fancy strange old dear nice rich silly odd plain funny sleek
cute smooth soft quaint smart clean fair
hard: hard tough tricky high thin long steep wide heavy small thick narrow deep rough tight weak loose sharp
solid: strong firm big tall safe sound neat fine straight sturdy tough smart clean light bright
fast: fast quick swift speedy nimble strong tough fit spry fierce smart clever young
looks: shiny old pretty beautiful wooden new little lovely strange plain fancy heavy light smooth rough
dusty polished carved painted rusty special tiny delicate sturdy simple curious handmade antique battered
bent chipped crooked dainty elegant faded fragile glittery gleaming glossy grand handsome jeweled
magnificent odd ordinary ornate patched peculiar perfect precious quaint rare ragged rickety round scratched
secondhand secret shabby shimmering sparkling splendid stained tattered twisted unusual useful valuable
weathered well-loved wonky worn ageless aromatic blotchy bronze brittle bumpy classic clumsy clunky colorful
copper-bottomed cracked creaky creased curly curved dented dog-eared dotted embroidered enameled engraved
exquisite flimsy flowery frayed frilly furry gaudy gilded glistening grimy homespun hollow humble iridescent
knobbly lacquered leathery lopsided lumpy mended metallic musty neglected old-fashioned oval paper-thin
pearly pleated pointed porcelain quilted ribbed rounded rustic shapeless silken slender slippery speckled
spiky spotless squeaky squishy star-shaped sticky streaky studded tarnished threadbare tinted translucent
unpainted varnished velvety wobbly wrinkled zigzag
quality: shiny old pretty little lovely special beautiful small plain fancy precious treasured new odd
favorite wonderful unusual colorful bright fine funny
place: quiet sunny green peaceful pretty busy cozy old shady windy hidden lovely little grassy misty mossy
leafy sandy rocky dusty empty wild narrow lonely muddy ancient bustling charming cheerful colorful crowded
deserted distant enchanting faraway fragrant hilly humble lush marshy pleasant quaint remote rugged secluded
silent sleepy snug stony tranquil winding wooded airy bare blooming blossoming bright bumpy calm chilly
cobbled cool crooked damp dappled dim drowsy enchanted fern-covered flowery foggy forgotten gloomy hushed
ivy-covered mountainous mysterious overgrown picturesque rainy reedy restful rolling rural rustic salty
serene shadowy shimmering sloping snowy sprawling steep sun-drenched sunlit swampy terraced tidy tree-lined
unspoiled verdant windswept
voice: soft small gentle quiet kind loud clear shaky low calm trembling cheerful sleepy deep squeaky firm
tiny high merry steady hoarse husky gruff hushed solemn timid tender serious soothing breathless
faint: small soft quiet low shaky trembling tiny hoarse weak faint thin sad timid shy tired tearful weary
broken
grin: small big warm shy wide bright happy proud gentle kind cheeky crooked friendly knowing secret sleepy
sly toothy wise brave
manner: soft quiet slow quick gentle careful happy proud kind calm eager bright cheerful polite honest
patient brave brisk glad sweet warm wise serious swift playful thoughtful tender solemn sleepy sensible
merry hopeful graceful grateful gleeful firm fond faithful excited dreamy curious breathless confident
delighted determined enthusiastic generous helpful peaceful steady bold shy clear easy earnest joyful nimble
skillful attentive deliberate diligent gracious good-humored lighthearted respectful sincere truthful
glum: sad anxious desperate doubtful fearful grim grumpy hesitant miserable mournful reluctant sheepish
sorrowful tearful tired vague wistful nervous weary bitter glum unhappy awkward bashful timid shaky gloomy
hopeless helpless guilty sulky cross sour meek faint quiet slow dull feeble
nice: good fine wonderful lovely special great perfect splendid marvelous delightful brilliant excellent
fantastic magical memorable unforgettable remarkable extraordinary pleasant glorious superb terrific
loudness: loud soft sharp sudden strange faint deep low odd funny squeaky terrible tiny scratchy mysterious
rumbling muffled piercing creaky ghostly thunderous tinkling
fierce: fierce terrible wild mighty dreadful furious howling raging roaring savage bitter violent tremendous
relentless gusty
";

/// Classes made of other classes.
pub const UNIONS: &str = "
child: girl boy
hue: quality colour
kin: kinf kinm
thing: toy keepsake
finery: wear pair
gadget: tool container keepsake
plant: tree flower
produce: fruit veg
critter: animal farm
";

/// Numbers written in digits, from the first to the last.
pub const NUMBERS: &[(&str, u32, u32)] =
    &[("age", 4, 9), ("count", 13, 240), ("house", 1, 480), ("year", 1880, 1999)];
