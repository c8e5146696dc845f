<?php
// Laravel's database layer as an application uses it: models, relations, nested transactions,
// pessimistic locks, chunks, cursors, and a queue worker's loop.

require __DIR__ . '/common.php';
require 'Illuminate/Database/autoload.php';

use Illuminate\Database\Capsule\Manager as Capsule;
use Illuminate\Database\Eloquent\Model;
use Illuminate\Database\QueryException;
use Illuminate\Database\Schema\Blueprint;

$capsule = new Capsule();
$settings = [
    'driver' => 'mysql',
    'host' => setting('DB_HOST'),
    'port' => setting('DB_PORT'),
    'database' => 'shop',
    'username' => setting('DB_USER'),
    'password' => setting('DB_PASSWORD'),
    'charset' => 'utf8mb4',
    'collation' => 'utf8mb4_unicode_ci',
    'prefix' => '',
    'strict' => true,
    'engine' => null,
    'timezone' => '+00:00',
];
$capsule->addConnection($settings);
$capsule->addConnection($settings, 'worker');
$capsule->addConnection($settings, 'reader');
$capsule->setAsGlobal();
$capsule->bootEloquent();
$db = $capsule->getConnection();

class Author extends Model
{
    protected $table = 'laravel_authors';
    protected $guarded = [];
    public $timestamps = false;
    protected $casts = ['settings' => 'array', 'active' => 'boolean'];

    public function books()
    {
        return $this->hasMany(Book::class);
    }
}

class Book extends Model
{
    protected $table = 'laravel_books';
    protected $guarded = [];
    public $timestamps = false;

    public function author()
    {
        return $this->belongsTo(Author::class);
    }
}

class Item extends Model
{
    protected $connection = 'reader';
    protected $table = 'items';
}

// ---- schema
$schema = $capsule->schema();
foreach (['laravel_books', 'laravel_authors', 'laravel_jobs'] as $table) {
    $schema->dropIfExists($table);
}
$schema->create('laravel_authors', function (Blueprint $table) {
    $table->id();
    $table->string('name')->unique();
    $table->boolean('active')->default(true);
    $table->json('settings')->nullable();
});
$schema->create('laravel_books', function (Blueprint $table) {
    $table->id();
    $table->foreignId('author_id')->constrained('laravel_authors')->cascadeOnDelete();
    $table->string('title');
    $table->unsignedInteger('copies')->default(0);
});
$schema->create('laravel_jobs', function (Blueprint $table) {
    $table->id();
    $table->string('queue')->index();
    $table->longText('payload');
    $table->unsignedTinyInteger('attempts')->default(0);
    $table->unsignedInteger('reserved_at')->nullable();
});
show('has tables', [$schema->hasTable('laravel_books'), $schema->hasTable('laravel_films')]);
show('columns', collect($schema->getColumnListing('laravel_books'))->sort()->values()->all());

// ---- models
foreach (['Ann', 'Bob', 'Çağla'] as $name) {
    $author = Author::create(['name' => $name, 'settings' => ['theme' => "dark $name", 'n' => 1.5]]);
    foreach (range(1, 5) as $i) {
        $author->books()->create(['title' => "$name's book $i", 'copies' => $i]);
    }
    show('created', [$author->id, $author->fresh()->toArray()]);
}
$ann = Author::where('name', 'Ann')->firstOrFail();
$ann->active = false;
show('saved', [$ann->save(), $ann->wasChanged('active'), Author::find($ann->id)->active]);
show('first or create', [
    Author::firstOrCreate(['name' => 'Dan'])->wasRecentlyCreated,
    Author::firstOrCreate(['name' => 'Dan'])->wasRecentlyCreated,
]);
show('update or create', Author::updateOrCreate(['name' => 'Dan'], ['active' => false])->toArray());
show('with relation', Author::with('books')->orderBy('id')->get()->toArray());
show('counted', Author::withCount('books')->orderBy('id')->get()->pluck('books_count', 'name')->all());
show('where has', Author::whereHas('books', fn ($query) => $query->where('copies', '>', 4))->orderBy('id')->pluck('name')->all());
show('json path', Author::where('settings->n', 1.5)->count());
show('increment', [Book::where('author_id', $ann->id)->increment('copies', 10), Book::where('author_id', $ann->id)->sum('copies')]);
show('upsert', $db->table('laravel_authors')->upsert([['name' => 'Ann', 'active' => 1], ['name' => 'Eve', 'active' => 1]], ['name'], ['active']));
show('insert or ignore', $db->table('laravel_authors')->insertOrIgnore([['name' => 'Ann'], ['name' => 'Fay']]));
show('insert id', $db->table('laravel_authors')->insertGetId(['name' => 'Gus']));
show('aggregates', [Book::max('copies'), Book::min('copies'), Book::avg('copies'), Book::where('copies', 99)->exists()]);
show('joined', $db->table('laravel_books')->join('laravel_authors', 'laravel_authors.id', '=', 'author_id')
    ->select('name', $db->raw('COUNT(*) AS n'))->groupBy('name')->orderBy('name')->get()->all());
show('paginated', Book::orderBy('id')->forPage(2, 4)->pluck('title')->all());
show('deleted', [Author::where('name', 'Bob')->first()->delete(), Book::count()]);
try {
    Author::create(['name' => 'Ann']);
} catch (QueryException $error) {
    show('duplicate', [$error->getCode(), $error->errorInfo]);
}

// ---- transactions
show('result of a transaction', $db->transaction(fn () => Book::where('title', "Ann's book 1")->update(['copies' => 50])));
try {
    $db->transaction(function () {
        Author::create(['name' => 'Never']);
        throw new RuntimeException('rolled back');
    });
} catch (RuntimeException $error) {
    show($error->getMessage(), Author::where('name', 'Never')->exists());
}
$db->beginTransaction();
Author::create(['name' => 'Outer']);
$db->beginTransaction();
Author::create(['name' => 'Inner']);
show('level', $db->transactionLevel());
$db->rollBack();
show('inside', [$db->transactionLevel(), Author::whereIn('name', ['Outer', 'Inner'])->pluck('name')->all()]);
$db->beginTransaction();
Author::create(['name' => 'Second inner']);
$db->commit();
$db->commit();
show('kept', Author::whereIn('name', ['Outer', 'Inner', 'Second inner'])->orderBy('id')->pluck('name')->all());
$db->transaction(function () {
    $book = Book::where('title', "Ann's book 2")->lockForUpdate()->first();
    $book->copies += 1;
    $book->save();
    show('locked', [$book->copies, Book::where('title', "Ann's book 2")->sharedLock()->value('copies')]);
});
$other = $capsule->getConnection('worker');
$other->statement('SET SESSION innodb_lock_wait_timeout = 1');
$db->transaction(function () use ($other) {
    Book::where('title', "Ann's book 3")->lockForUpdate()->first();
    try {
        $other->table('laravel_books')->where('title', "Ann's book 3")->lockForUpdate()->first();
    } catch (QueryException $error) {
        show('waited for a lock', $error->errorInfo);
    }
});

// ---- many rows
$db->table('laravel_jobs')->insert(array_map(
    fn ($i) => ['queue' => $i % 10 ? 'default' : 'mail', 'payload' => json_encode(['job' => $i])],
    range(1, 500)
));
$sizes = [];
$db->table('laravel_jobs')->orderBy('id')->chunk(120, function ($jobs) use (&$sizes) {
    $sizes[] = [$jobs->count(), $jobs->sum('id')];
});
show('chunks', $sizes);
$sizes = [];
$db->table('laravel_jobs')->chunkById(200, function ($jobs) use (&$sizes, $db) {
    // Changes what it iterates over.
    $db->table('laravel_jobs')->whereIn('id', $jobs->pluck('id'))->update(['attempts' => 1]);
    $sizes[] = $jobs->count();
});
show('chunks by id', [$sizes, $db->table('laravel_jobs')->where('attempts', 1)->count()]);
$sum = 0;
foreach ($db->table('laravel_jobs')->orderBy('id')->cursor() as $job) {
    $sum += json_decode($job->payload)->job;
}
show('cursor', $sum);
show('lazy', $db->table('laravel_jobs')->orderBy('id')->lazy(75)->sum('id'));

// ---- a queue worker
$pop = fn () => $other->transaction(function () use ($other) {
    $job = $other->table('laravel_jobs')->where('queue', 'mail')->whereNull('reserved_at')
        ->orderBy('id')->lock('for update skip locked')->first();
    if ($job !== null) {
        $other->table('laravel_jobs')->where('id', $job->id)
            ->update(['reserved_at' => 1700000000, 'attempts' => $job->attempts + 1]);
    }
    return $job;
});
// Someone else works on the first one meanwhile.
$db->beginTransaction();
$held = $db->table('laravel_jobs')->where('queue', 'mail')->orderBy('id')->lock('for update skip locked')->first();
$handled = [];
while (($job = $pop()) !== null) {
    $handled[] = $job->id;
    $other->table('laravel_jobs')->where('id', $job->id)->delete();
}
$db->rollBack();
show('held', $held->id);
show('handled', $handled);
show('left', $db->table('laravel_jobs')->where('queue', 'mail')->pluck('id')->all());
show('released', $pop()->id);

// ---- connection life
$db->reconnect();
show('reconnected', $db->selectOne('select database() as d, @@session.time_zone as z'));
show('strict mode', $db->selectOne('select @@session.sql_mode as m')->m);
show('collation', $db->selectOne('select @@collation_connection as c')->c);
$capsule->getDatabaseManager()->purge('worker');
show('purged', $capsule->getConnection('worker')->table('items')->count());

// ---- reads of what was there before
$reader = $capsule->getConnection('reader');
show('count', $reader->selectOne('select /* laravel read */ count(*) as n from items'));
foreach (range(1, 10) as $id) {
    show('item', Item::find($id)->toArray());
}
show('items', $reader->table('items')->where('price', '>', 120)->orderByDesc('id')->get()->all());
$seen = [];
$reader->table('items')->orderBy('id')->chunk(30, function ($items) use (&$seen) {
    $seen[] = $items->count();
});
show('item chunks', $seen);
echo "done\n";
